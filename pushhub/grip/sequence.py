"""The order of a GRIP channel's items, as one reader sees it.

An item may name the one that must have been seen before it (`prev-id`). Publishers of one channel
race, so it may come first: then it is parked until the other has come, for five seconds at most,
and is delivered after that all the same. Everything is decided from the log alone, so every worker
and every node decides alike: an id that stands before in the log has been seen, and an item without
`prev-id`, or with `no-seq`, waits for nothing. The log itself drops duplicates (`api/grip.py`).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pushhub.grip.item import item_of
from pushhub.log.cursor import Cursor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pushhub.grip.instruct import GripSubscription
    from pushhub.log.event import Event
    from pushhub.log.read import Page

# Pushpin's message_wait and CHANNEL_PENDING_MAX.
WINDOW_SECONDS = 5.0
MAX_PARKED = 100
# How far back a `prev-id` is looked for: what the hub keeps of a channel in memory.
MAX_KNOWN = 100


class ItemSequence:
    """What one reader of one channel has seen, and what waits for its predecessor.

    `window` is for how many seconds the first of the parked may still wait, counted from when it
    came to be the first.
    """

    __slots__ = ("_passed", "known", "parked", "window")

    def __init__(self, known: Iterable[str] = ()) -> None:
        self.known = deque(known, MAX_KNOWN)
        self._passed = 0
        self.parked: list[Event] = []
        self.window = WINDOW_SECONDS

    def copy(self) -> ItemSequence:
        """The same, to try something out on."""
        order = ItemSequence(self.known)
        order.parked = list(self.parked)
        order.window = self.window
        return order

    def take(self, event: Event) -> list[Event]:
        """The events that are due now that `event` has come: none if it is parked."""
        item = item_of(event)
        first = item.no_seq or item.prev_id is None or not self.known
        if not first and item.prev_id not in self.known:
            if not self.parked:
                self.window = WINDOW_SECONDS
            self.parked.append(event)
            # Nothing is lost, and nothing grows: too many are as good as too long.
            return self.overdue() if len(self.parked) > MAX_PARKED else []
        due = [event]
        self._settle(event, due)
        return due

    def pass_over(self, events: Iterable[Event]) -> None:
        """Remember the ids of events that were nothing to the reader. Once is enough, though many
        may say it who share the order.
        """
        for event in events:
            if event.offset > self._passed:
                self._passed = event.offset
                if (item_id := item_of(event).id) is not None:
                    self.known.append(item_id)

    def overdue(self) -> list[Event]:
        """The first of the parked has waited long enough: it, and what waited for it."""
        if not self.parked:
            return []
        first = self.parked.pop(0)
        due = [first]
        self._settle(first, due)
        if self.parked:
            # The next has waited since it was published.
            self.window = max(0.0, (self.parked[0].time - first.time) / 1000)
        return due

    def _settle(self, event: Event, due: list[Event]) -> None:
        item = item_of(event)
        if item.id is None:
            return
        self.known.append(item.id)
        while True:
            followers = [e for e in self.parked if item_of(e).prev_id in self.known]
            if not followers:
                return
            follower = followers[0]
            self.parked.remove(follower)
            due.append(follower)
            if (follower_id := item_of(follower).id) is not None:
                self.known.append(follower_id)

    @property
    def last(self) -> str | None:
        """The id of the last item that was seen."""
        return self.known[-1] if self.known else None

    def __repr__(self) -> str:
        return f"<Order after {self.last}, {len(self.parked)} parked>"


class ItemSequences(dict[str, ItemSequence]):
    """The orders of a reader's channels, by name. Each is only itself: it can be a key."""

    __slots__ = ()

    def copy(self) -> ItemSequences:
        return ItemSequences({name: order.copy() for name, order in self.items()})

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)


@dataclass(frozen=True, slots=True)
class SequencePosition:
    """Where a hold begins to read a channel, and what it has seen by then.

    With a `gap` the origin speaks of an item that the log does not know: what lies between, only
    the origin can tell.
    """

    cursor: Cursor
    known: tuple[str, ...]
    gap: bool = False


def stand(
    subscription: GripSubscription, page: Page, began: int, *, trusted: bool
) -> SequencePosition:
    """Where a hold stands in a channel, so that nothing published while its origin was being asked
    is missed.

    The origin's answer has everything that was written before it was asked, and a publisher writes
    before it publishes. So an item with a time before `began` is in the answer, and one with a
    later time may be missing from it. A `prev-id` says it exactly: what stands after it in the log
    is missing.

    Args:
        page: the channel's most recent events, up to its end.
        began: when the origin was asked, or earlier, by the clock of the store that gives events
        their time; milliseconds since 1970.
        trusted: the origin was asked again and says the same; it is believed.
    """
    events = page.events
    after = -1
    gap = False
    if subscription.prev_id is not None:
        after = _last(events, subscription.prev_id)
        gap = after < 0 and any(event.id != str(event.cursor) for event in events)
    if after < 0:
        late = next((i for i, event in enumerate(events) if event.time >= began), len(events))
        after = late - 1
        # More than is kept in memory came in the meantime.
        gap = gap or (late == 0 and bool(events) and events[0].offset > 1)
    known = tuple(event.id for event in events[: after + 1] if event.id != str(event.cursor))
    if gap and subscription.prev_id is not None:
        known = (*known, subscription.prev_id)
    offset = events[after + 1].offset - 1 if after + 1 < len(events) else page.cursor.offset
    return SequencePosition(Cursor(page.cursor.epoch, offset), known, gap and not trusted)


def _last(events: tuple[Event, ...], item_id: str) -> int:
    """The index of the last event with this id; -1 if there is none."""
    return next((i for i in reversed(range(len(events))) if events[i].id == item_id), -1)
