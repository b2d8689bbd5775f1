"""A subscription inside the server: a loop of holds that hands each event to a function.

Every event of the log arrives in order, also after an outage. The subscriber is notified of a gap.
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
from pushhub.polls.base import NO_HINT, At, ChannelPoll, ChannelRead, Hint, Positions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pushhub.http.problem import Problem
    from pushhub.http.response import Response
    from pushhub.hub.hub import Hub
    from pushhub.hub.readers import Reader
    from pushhub.hub.stream import EventStream
    from pushhub.log.event import Event

# Another wait follows. A client asks for less, because of proxies on the way. A hub has twenty
# subscriptions of its own: short waits would be most of what an idle hub does.
WAIT_SECONDS = 3600
# A tail in memory has so many events.
LIMIT = 100
# The pause before the next poll when the store cannot be read, or the channel was deleted.
RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class SubscriptionReply(Part):
    """The reply to the poll of a subscription: a read, or a problem."""

    read: Read | None = None
    problem: Problem | None = None


class SubscriptionPoll(ChannelPoll):
    """A poll of the next events of one channel."""

    __slots__ = ()
    kind = "pushhub itself"
    wait = WAIT_SECONDS
    variant = None

    def __init__(self, channel: str, since: Since) -> None:
        self.reads = (ChannelRead(channel, since, LIMIT),)

    def reply(self, reads: Mapping[str, Read], hint: Hint = NO_HINT) -> SubscriptionReply | None:
        read = reads[self.reads[0].channel]
        return SubscriptionReply(b"", read=read) if isinstance(read, Gap) or read.events else None

    def empty(self, at: Positions, hint: Hint) -> SubscriptionReply:
        page = Page((), at[self.reads[0].channel], up_to_date=hint.retry_ms is None)
        return SubscriptionReply(b"", read=page)

    def error(self, problem: Problem) -> SubscriptionReply:
        return SubscriptionReply(b"", problem=problem)


class SubscriptionHold(InternalHold):
    """The hold of a subscription. It takes an event and stays on its channel, which is a third of
    the work of leaving and registering again. Only the end of its wait, a read of the log or a
    deleted channel completes it.
    """

    __slots__ = ()

    outlives_drain = True

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
    """The hold of the console's own subscription, which the statistics leave out."""

    __slots__ = ()

    tallied = False


class Subscription:
    """Reads a channel from `since` on, and hands each event to `take`, in order, until stopped.

    Args:
        lost: is called for a gap; the subscription goes on at the channel's end. Without `lost` it
            goes on at the oldest event that is kept.
        gone: is called when the channel is deleted; the channel may exist again later.
        reader: describes the client that receives the events, if there is one.
        kind: the class of the holds.
    """

    __slots__ = (
        "_behind",
        "_channel",
        "_gone",
        "_hold",
        "_kind",
        "_lost",
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
        kind: type[SubscriptionHold] = SubscriptionHold,
    ) -> None:
        self.reader = reader
        self._kind = kind
        self.hub = hub
        self._channel = channel
        self._take = take
        self._lost = lost
        self._gone = gone
        self._hold: Hold | None = None
        # The functions to call once the subscription has reached a cursor.
        self._behind: list[tuple[Cursor, Callable[[], None]]] = []
        self._timer: asyncio.TimerHandle | None = None
        self.since = since
        self.stopped = False

    async def begin(self) -> None:
        """Begin at the channel's end. After this returns, no event is missed.

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
        while not self.stopped and not self.hub.closing:
            reply = self.hub.hold(SubscriptionPoll(self._channel, self.since), self._kind)
            if isinstance(reply, Hold):
                self._hold = reply
                reply.attach(self)
                return
            if not self._handle(reply):
                return

    def deliver(self, reply: Response | Part | EventStream) -> None:
        """Take the reply of a hold, as its driver."""
        self._hold = None
        if not self.stopped and self._handle(reply):
            self.start()

    def _handle(self, reply: Response | Part | EventStream) -> bool:
        """Take a reply; whether to poll again immediately."""
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
        """Hand on the events of a page."""
        self.since = page.cursor
        for event in page.events:
            if self.stopped:
                return
            self._take(event)
        if self._behind:
            self._catch_up()

    def after(self, cursor: Cursor, do: Callable[[], None]) -> None:
        """Call `do` once the events up to `cursor` were handed on: immediately if they were, or
        if the store sends no events now.
        """
        since, hub = self.since, self.hub
        behind = (
            isinstance(since, Cursor)
            and since.epoch == cursor.epoch
            and since.offset < cursor.offset
        )
        if behind and hub.store.ready and not (self.stopped or hub.closing):
            self._behind.append((cursor, do))
        else:
            do()

    def _catch_up(self) -> None:
        behind, self._behind = self._behind, []
        for cursor, do in behind:
            self.after(cursor, do)

    def _later(self) -> None:
        if not self.stopped and not self.hub.closing:
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
