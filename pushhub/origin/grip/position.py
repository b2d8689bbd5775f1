"""Where the channels of a hold stand, before it waits: read once, and answered at once.

How a hold of GRIP misses nothing that is published while its origin is being asked, although nobody
knows its channels before the origin has answered:

1. The passage notes the time, on this machine, before it asks the origin (`Grip.mark`).
2. When the instruct is there, the recent end of each of its channels is read from the log, together
   with the time by the clock that gave the events theirs. So the noted time is known by that clock,
   never too late, and too early by no more than asking took: a round trip to Redis, and nothing on
   the other stores. Events have whole milliseconds, so one of the same millisecond may come again.
3. What stands in the log with a later time may be missing from the origin's answer, and is behind
   the hold's position; what is older is in the answer (`grip/sequence.py`). With a `prev-id`
   the position is exact.
4. From that position the hold is an ordinary poll of the hub: registered, then read, then parked.

Nothing of this asks the origin again, and it is the same on every store and every node.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from pushhub.grip.sequence import ItemSequence, ItemSequences, SequencePosition, stand
from pushhub.http.response import Part, Response
from pushhub.log.cursor import RECENT_EVENTS, Cursor, Start
from pushhub.log.read import Gap, Page, Read
from pushhub.polls.base import NO_HINT, ChannelRead, Hint, Positions

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from pushhub.grip.instruct import Instruct
    from pushhub.http.problem import Problem
    from pushhub.hub.hub import Hub
    from pushhub.hub.stream import EventStream


class HoldPosition:
    """A poll of many channels' recent events, which keeps what it read."""

    __slots__ = ("problem", "reads", "results")

    kind = "look of GRIP"
    wait = None
    variant: Hashable = None

    def __init__(self, channels: list[str]) -> None:
        self.reads = tuple(ChannelRead(name, Start.RECENT, RECENT_EVENTS) for name in channels)
        self.results: dict[str, Read] = {}
        self.problem: Problem | None = None

    def reply(self, reads: Mapping[str, Read], hint: Hint = NO_HINT) -> Part:
        self.results = dict(reads)
        return Part(b"")

    def position(self, channel: str, read: Read) -> Cursor:
        raise AssertionError("a look never waits")

    def empty(self, at: Positions, hint: Hint) -> Part:
        raise AssertionError("a look never waits")

    def error(self, problem: Problem) -> Part:
        self.problem = problem
        return Part(b"")


class _Seen:
    """Waits for a look to be over."""

    __slots__ = ("future",)

    def __init__(self) -> None:
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def deliver(self, reply: Response | Part | EventStream) -> None:
        if not self.future.done():
            self.future.set_result(None)


class Stand:
    """Where a hold stands in all its channels."""

    __slots__ = ("cursors", "gap", "orders")

    def __init__(self, standings: Mapping[str, SequencePosition]) -> None:
        self.cursors = {name: one.cursor for name, one in standings.items()}
        self.orders = ItemSequences(
            {name: ItemSequence(one.known) for name, one in standings.items()}
        )
        self.gap = any(one.gap for one in standings.values())


async def look(hub: Hub, instruct: Instruct, began: float, *, trusted: bool) -> Stand:
    """Find out where a hold stands.

    Args:
        began: when its origin was asked, in the loop's seconds.
        trusted: whether the origin was asked again already.

    Raises:
        StoreError, Problem: the log cannot be read.
    """
    if not instruct.subscriptions:
        return Stand({})
    poll = HoldPosition([one.channel for one in instruct.subscriptions])
    step = hub.hold(poll)
    seen = _Seen()
    if not isinstance(step, Response | Part):
        step.attach(seen)
    now = await hub.store.time()
    # By the store's clock, and not later than it was: asking took some of the time since.
    asked = math.floor(now - (hub.now() - began) * 1000)
    if not isinstance(step, Response | Part):
        try:
            await seen.future
        finally:
            step.drop()
    if poll.problem is not None:
        raise poll.problem
    return Stand(
        {
            one.channel: stand(one, _page(poll.results[one.channel]), asked, trusted=trusted)
            for one in instruct.subscriptions
        }
    )


def _page(read: Read) -> Page:
    if isinstance(read, Gap):
        return Page((), read.latest, up_to_date=True)
    return read
