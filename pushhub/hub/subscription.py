"""Following a channel of pushhub's own: a loop of holds, whose events are handed to a function.

Every event of the log comes, in order, outages or not; where some may have been lost, that is told.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pushhub.http.response import Part
from pushhub.hub.channel_hold import InternalHold
from pushhub.hub.hold import Hold
from pushhub.log.cursor import Cursor, Since, Start
from pushhub.log.read import Gap, Page, Read
from pushhub.polls.base import NO_HINT, At, ChannelRead, Hint, Positions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pushhub.http.problem import Problem
    from pushhub.http.response import Response
    from pushhub.hub.hub import Hub
    from pushhub.hub.readers import Reader
    from pushhub.hub.stream import EventStream
    from pushhub.log.event import Event

# The longest that the hub grants; the wait begins anew when it ends.
WAIT_SECONDS = 55
# What a tail in memory can answer at once.
LIMIT = 100
# When the store cannot be read, or a deleted channel is to be followed anew.
RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class SubscriptionReply(Part):
    """What a follower's poll is answered with: a read, or why there was none."""

    read: Read | None = None
    problem: Problem | None = None


class SubscriptionPoll:
    """A poll of one channel's next events, for a follower."""

    __slots__ = ("reads",)
    kind = "pushhub itself"
    wait = WAIT_SECONDS
    variant = None

    def __init__(self, channel: str, since: Since) -> None:
        self.reads = (ChannelRead(channel, since, LIMIT),)

    def reply(self, reads: Mapping[str, Read], hint: Hint = NO_HINT) -> SubscriptionReply | None:
        read = reads[self.reads[0].channel]
        return SubscriptionReply(b"", read=read) if isinstance(read, Gap) or read.events else None

    def position(self, channel: str, read: Read) -> Cursor:
        return read.latest if isinstance(read, Gap) else read.cursor

    def empty(self, at: Positions, hint: Hint) -> SubscriptionReply:
        page = Page((), at[self.reads[0].channel], up_to_date=hint.retry_ms is None)
        return SubscriptionReply(b"", read=page)

    def error(self, problem: Problem) -> SubscriptionReply:
        return SubscriptionReply(b"", problem=problem)


class SubscriptionHold(InternalHold):
    """A follower's hold. It takes what an event brings and stays on its channel, which is a third
    of the work of leaving and coming back; only an end of its wait, a doubt of the hub or a deleted
    channel completes it.
    """

    __slots__ = ()

    def complete(self, reply: Response | Part | EventStream) -> bool:
        follow = self.driver
        page = reply.read if isinstance(reply, SubscriptionReply) else None
        if self.at is None or not isinstance(page, Page) or not isinstance(follow, Subscription):
            return super().complete(reply)
        if not page.events or not page.up_to_date:
            return super().complete(reply)
        channel = follow.hub.channels.register(self, self.poll.reads[0].channel)
        at = channel.at
        self.at = at if at is not None and at.cursor == page.cursor else At(page.cursor)
        follow.take(page)
        return True


class UncountedHold(SubscriptionHold):
    """A follower's hold of which the statistics know nothing: the console's own."""

    __slots__ = ()

    tallied = False


class Subscription:
    """Reads a channel from `since` on, and hands each event to `take`, in order, until stopped.

    Args:
        lost: is told of a gap, after which it goes on at the channel's end. Without it, what is
            still kept is read from its beginning.
        gone: is told when the channel is deleted; it may come again.
        reader: describes the client that the events are for, if there is one.
        make: the class of its holds.
    """

    __slots__ = (
        "_behind",
        "_channel",
        "_gone",
        "_hold",
        "_lost",
        "_make",
        "_take",
        "_timer",
        "hub",
        "reader",
        "since",
        "stopped",
    )

    def __init__(
        self,
        hub: Hub,
        channel: str,
        take: Callable[[Event], None],
        since: Since = Start.NOW,
        *,
        lost: Callable[[], None] | None = None,
        gone: Callable[[], None] | None = None,
        reader: Reader | None = None,
        make: type[SubscriptionHold] = SubscriptionHold,
    ) -> None:
        self.reader = reader
        self._make = make
        self.hub = hub
        self._channel = channel
        self._take = take
        self._lost = lost
        self._gone = gone
        self._hold: Hold | None = None
        # What is to be done once it has come so far.
        self._behind: list[tuple[Cursor, Callable[[], None]]] = []
        self._timer: asyncio.TimerHandle | None = None
        self.since = since
        self.stopped = False

    async def begin(self) -> None:
        """Begin where the channel ends now: of what is appended after this returns, nothing passes
        by.

        Raises:
            StoreError: the store cannot be read now.
        """
        if not isinstance(self.since, Cursor):
            read = await self.hub.store.read(self._channel, self.since, 1)
            self.since = read.cursor if isinstance(read, Page) else read.latest
        if not self.stopped:
            self.start()

    def start(self) -> None:
        """Begin, or go on."""
        self._timer = None
        while not self.stopped and not self.hub.draining:
            reply = self.hub.hold(SubscriptionPoll(self._channel, self.since), self._make)
            if isinstance(reply, Hold):
                self._hold = reply
                reply.attach(self)
                return
            if not self._took(reply):
                return

    def deliver(self, reply: Response | Part | EventStream) -> None:
        """The hold was completed: a follower is a driver."""
        self._hold = None
        if not self.stopped and self._took(reply):
            self.start()

    def _took(self, reply: Response | Part | EventStream) -> bool:
        """Take in what was read; whether to go on at once."""
        assert isinstance(reply, SubscriptionReply)
        read = reply.read
        if read is None:
            assert reply.problem is not None
            if self._gone is not None and reply.problem.slug == "deleted":
                self._gone()
            self._later()
            return False
        if isinstance(read, Gap):
            self.since = read.oldest if self._lost is None else read.latest
            if self._lost is not None:
                self._lost()
            self._catch_up()
            return True
        self.take(read)
        return True

    def take(self, page: Page) -> None:
        """Hand on what was read."""
        self.since = page.cursor
        for event in page.events:
            if self.stopped:
                return
            self._take(event)
        if self._behind:
            self._catch_up()

    def after(self, cursor: Cursor, do: Callable[[], None]) -> None:
        """Call `do` once what was appended up to `cursor` has been handed on: at once if it was, or
        if nobody can say when it will be, because nothing is told now.
        """
        since, hub = self.since, self.hub
        behind = (
            isinstance(since, Cursor)
            and since.epoch == cursor.epoch
            and since.offset < cursor.offset
        )
        if behind and hub.store.ready and not (self.stopped or hub.draining):
            self._behind.append((cursor, do))
        else:
            do()

    def _catch_up(self) -> None:
        behind, self._behind = self._behind, []
        for cursor, do in behind:
            self.after(cursor, do)

    def _later(self) -> None:
        if not self.stopped and not self.hub.draining:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(RETRY_SECONDS, self.start)

    def stop(self) -> None:
        """Read no more."""
        self.stopped = True
        if self._timer is not None:
            self._timer.cancel()
        if self._hold is not None:
            self._hold.drop()
            self._hold = None
        self._catch_up()
