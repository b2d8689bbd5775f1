"""Following a channel of pushhub's own: a loop of holds, whose events are handed to a function.

Every event of the log comes, in order, outages or not; where some may have been lost, that is told.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pushhub.hub.hold import Hold, Inner
from pushhub.protocol.answer import Answer
from pushhub.protocol.cursor import Cursor, Since, Start
from pushhub.protocol.page import Gap, Page, Read
from pushhub.protocol.poll import AT_ONCE, Hint, Positions, Want

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pushhub.hub.hub import Hub
    from pushhub.hub.stream import Stream
    from pushhub.protocol.answer import Part
    from pushhub.protocol.event import Event
    from pushhub.protocol.problem import Problem

# The longest that the hub grants; the wait begins anew when it ends.
WAIT_SECONDS = 55
# What a tail in memory can answer at once.
LIMIT = 100
# When the store cannot be read, or a deleted channel is to be followed anew.
RETRY_SECONDS = 1.0


class Told(Answer):
    """What a follower's poll is answered with: a read, or None where there was none."""

    __slots__ = ("read",)

    def __init__(self, read: Read | None) -> None:
        super().__init__(200)
        self.read = read


class Next:
    """A poll of one channel's next events, for a follower."""

    __slots__ = ("wants",)
    wait = WAIT_SECONDS
    variant = None

    def __init__(self, channel: str, since: Since) -> None:
        self.wants = (Want(channel, since, LIMIT),)

    def answer(self, reads: Mapping[str, Read], hint: Hint = AT_ONCE) -> Told | None:
        read = reads[self.wants[0].channel]
        return Told(read) if isinstance(read, Gap) or read.events else None

    def position(self, channel: str, read: Read) -> Cursor:
        return read.latest if isinstance(read, Gap) else read.cursor

    def nothing(self, at: Positions, hint: Hint) -> Told:
        return Told(Page((), at[self.wants[0].channel], up_to_date=True))

    def refuse(self, problem: Problem) -> Told:
        return Told(None)


class Follow:
    """Reads a channel from `since` on, and hands each event to `take`, in order, until stopped.
    `lost` is told of a gap.
    """

    __slots__ = ("_channel", "_hold", "_hub", "_lost", "_since", "_take", "_timer")

    def __init__(
        self,
        hub: Hub,
        channel: str,
        take: Callable[[Event], None],
        lost: Callable[[], None],
        since: Since = Start.NOW,
    ) -> None:
        self._hub = hub
        self._channel = channel
        self._take = take
        self._lost = lost
        self._since = since
        self._hold: Hold | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin, or go on."""
        self._timer = None
        while not self._hub.draining:
            reply = self._hub.hold(Next(self._channel, self._since), Inner)
            if isinstance(reply, Hold):
                self._hold = reply
                reply.attach(self)
                return
            if not self._took(reply):
                return

    def deliver(self, reply: Answer | Part | Stream) -> None:
        """The hold was completed: a follower is a driver."""
        self._hold = None
        if self._took(reply):
            self.start()

    def _took(self, reply: object) -> bool:
        """Take in what was read; whether to go on at once."""
        assert isinstance(reply, Told)
        read = reply.read
        if read is None:
            self._timer = asyncio.get_running_loop().call_later(RETRY_SECONDS, self.start)
            return False
        if isinstance(read, Gap):
            self._since = read.latest
            self._lost()
            return True
        self._since = read.cursor
        for event in read.events:
            self._take(event)
        return True

    def stop(self) -> None:
        """Read no more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._hold is not None:
            self._hold.drop()
            self._hold = None
