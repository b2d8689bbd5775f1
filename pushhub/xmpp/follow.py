"""Following a channel of our own: a loop of holds, whose events are taken in by a function."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pushhub.hub.hold import Hold, Inner
from pushhub.protocol.cursor import Cursor
from pushhub.protocol.page import Gap, Page
from pushhub.protocol.poll import AT_ONCE, At, Hint, Positions, Want
from pushhub.xmpp.registers import Found

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pushhub.hub.hub import Hub
    from pushhub.hub.stream import Stream
    from pushhub.protocol.answer import Answer, Part
    from pushhub.protocol.cursor import Since
    from pushhub.protocol.event import Event
    from pushhub.protocol.page import Read
    from pushhub.protocol.problem import Problem

# The longest that the hub grants; the wait begins again when it ends.
WAIT_SECONDS = 55
# What a tail in memory can answer at once.
LIMIT = 100
# When the store cannot be read, or a deleted channel is to be followed anew.
RETRY_SECONDS = 1.0


class Watch:
    """A poll of one channel's events after a position."""

    __slots__ = ("wants",)
    wait = WAIT_SECONDS
    variant = None

    def __init__(self, channel: str, since: Since) -> None:
        self.wants = (Want(channel, since, LIMIT),)

    def answer(self, reads: Mapping[str, Read], hint: Hint = AT_ONCE) -> Found | None:
        read = reads[self.wants[0].channel]
        if isinstance(read, Gap):
            # What is still kept is read on from its beginning.
            return Found(b"", page=Page((), read.oldest, up_to_date=False))
        return Found(b"", page=read) if read.events else None

    def position(self, channel: str, read: Read) -> Cursor:
        return read.cursor if isinstance(read, Page) else read.latest

    def nothing(self, at: Positions, hint: Hint) -> Found:
        page = Page((), at[self.wants[0].channel], up_to_date=hint.retry_ms is None)
        return Found(b"", page=page)

    def refuse(self, problem: Problem) -> Found:
        return Found(b"", problem=problem)


class Standing(Inner):
    """A follower's hold. It takes what an event brings and stays on its channel, which is a third
    of the work of leaving and coming back; only an end of its wait, a doubt of the hub or a deleted
    channel completes it.
    """

    __slots__ = ()

    def complete(self, reply: Answer | Part | Stream) -> bool:
        follow = self.driver
        page = reply.page if isinstance(reply, Found) else None
        if self.at is None or page is None or not isinstance(follow, Follow):
            return super().complete(reply)
        if not page.events or not page.up_to_date:
            return super().complete(reply)
        channel = self.hub.shelf.register(self, self.poll.wants[0].channel)
        at = channel.at
        self.at = at if at is not None and at.cursor == page.cursor else At(page.cursor)
        follow.take(page)
        return True


class Follow:
    """Reads a channel from `since` on, and hands each event to `take`, in order, until stopped.
    `gone` is told when the channel is deleted; it may come again.
    """

    __slots__ = ("_channel", "_gone", "_hold", "_hub", "_take", "_timer", "since", "stopped")

    def __init__(
        self,
        hub: Hub,
        channel: str,
        since: Since,
        take: Callable[[Event], None],
        gone: Callable[[], None] | None = None,
    ) -> None:
        self._hub = hub
        self._channel = channel
        self._take = take
        self._gone = gone
        self._hold: Hold | None = None
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
            read = await self._hub.store.read(self._channel, self.since, 1)
            self.since = read.cursor if isinstance(read, Page) else read.latest
        if not self.stopped:
            self.start()

    def start(self) -> None:
        """Begin, or go on."""
        self._timer = None
        while not self.stopped:
            reply = self._hub.hold(Watch(self._channel, self.since), Standing)
            if isinstance(reply, Hold):
                self._hold = reply
                reply.attach(self)
                return
            if not self._took(reply):
                return

    def deliver(self, reply: Answer | Part | Stream) -> None:
        """A hold was completed; see `Driver`."""
        self._hold = None
        if not self.stopped and self._took(reply):
            self.start()

    def _took(self, reply: Answer | Part | Stream) -> bool:
        """Take in what was read; whether to go on at once."""
        assert isinstance(reply, Found)
        page = reply.page
        if page is None:
            assert reply.problem is not None
            if self._gone is not None and reply.problem.slug == "deleted":
                self._gone()
            self._later()
            return False
        self.take(page)
        if not page.events and self._hub.draining:
            self._later()
            return False
        return True

    def take(self, page: Page) -> None:
        """Hand on what was read."""
        self.since = page.cursor
        for event in page.events:
            if self.stopped:
                return
            self._take(event)

    def _later(self) -> None:
        if not self.stopped and not self._hub.draining:
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
