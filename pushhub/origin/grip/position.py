"""The position of a hold in its channels: found once, before the hold waits.

A hold misses nothing that is published during the request to its origin, although its channels are
only known from the response:

1. The exchange records the time on this machine before it sends the request (`InFlight.began`).
2. When the instruct has come, the recent end of each of its channels is read from the log, together
   with the time of the clock that stamped the events. So the recorded time is known by that clock:
   never too late, and too early by no more than the reading took, which is a round trip to Redis
   and nothing on the other stores. Events have whole milliseconds, so one of the same millisecond
   may come again.
3. Events in the log with a later time may be missing from the origin's response, and are behind the
   hold's position; older events are in the response (`grip/sequence.py`). With a `prev-id` the
   position is exact.
4. From that position the hold is an ordinary poll of the hub: registered, then read, then parked.

No step sends another request to the origin, and all steps are the same on every store and node.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from pushhub.grip.sequence import ItemSequence, ItemSequences, SequencePosition, find_position
from pushhub.http.response import Part, Response
from pushhub.log.cursor import RECENT_EVENTS, Cursor, Start
from pushhub.log.read import Gap, Page, Read
from pushhub.origin.shared.resource_state import store_problem
from pushhub.polls.base import NO_HINT, ChannelRead, Hint, Positions
from pushhub.store.base import StoreError

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from pushhub.grip.instruct import Instruct
    from pushhub.http.problem import Problem
    from pushhub.hub.hub import Hub
    from pushhub.hub.stream import EventStream


class RecentEventsPoll:
    """A poll of the recent events of several channels, which keeps what it read."""

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
        raise AssertionError("this poll never waits")

    def empty(self, at: Positions, hint: Hint) -> Part:
        raise AssertionError("this poll never waits")

    def error(self, problem: Problem) -> Part:
        self.problem = problem
        return Part(b"")


class _PollWaiter:
    """The driver that waits for the end of a `RecentEventsPoll`."""

    __slots__ = ("future",)

    def __init__(self) -> None:
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def deliver(self, reply: Response | Part | EventStream) -> None:
        if not self.future.done():
            self.future.set_result(None)


class HoldPosition:
    """The cursors and the item sequences of a hold, by channel.

    A `gap` says that the origin names an item that is not in the log.
    """

    __slots__ = ("cursors", "gap", "sequences")

    def __init__(self, positions: Mapping[str, SequencePosition]) -> None:
        self.cursors = {name: each.cursor for name, each in positions.items()}
        self.sequences = ItemSequences(
            {name: ItemSequence(each.seen) for name, each in positions.items()}
        )
        self.gap = any(each.gap for each in positions.values())


async def find_hold_position(
    hub: Hub, instruct: Instruct, began: float, *, trusted: bool = False
) -> HoldPosition:
    """Find the position of a hold.

    Args:
        began: when the request was sent to the origin, on the hub's clock.
        trusted: whether this is the position after a repeated request.

    Raises:
        Problem: the log cannot be read.
    """
    try:
        return await _find(hub, instruct, began, trusted=trusted)
    except StoreError as error:
        raise store_problem(error.public) from None


async def _find(hub: Hub, instruct: Instruct, began: float, *, trusted: bool) -> HoldPosition:
    if not instruct.subscriptions:
        return HoldPosition({})
    poll = RecentEventsPoll([each.channel for each in instruct.subscriptions])
    step = hub.hold(poll)
    waiter = _PollWaiter()
    if not isinstance(step, Response | Part):
        step.attach(waiter)
    now = await hub.store.time()
    # By the store's clock, and not later than the request: reading that clock took some time.
    sent = math.floor(now - (hub.now() - began) * 1000)
    if not isinstance(step, Response | Part):
        try:
            await waiter.future
        finally:
            step.drop()
    if poll.problem is not None:
        raise poll.problem
    return HoldPosition(
        {
            each.channel: find_position(
                each, _page(poll.results[each.channel]), sent, trusted=trusted
            )
            for each in instruct.subscriptions
        }
    )


def _page(read: Read) -> Page:
    if isinstance(read, Gap):
        return Page((), read.latest, up_to_date=True)
    return read
