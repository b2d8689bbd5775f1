"""The sequence of a GRIP channel's items, for one reader.

An item may name its predecessor (`prev-id`). Publishers of one channel race, so an item may come
before its predecessor. It is parked then until the predecessor has come, for five seconds at most,
and is delivered after that in any case. All decisions depend on the log alone, so every worker and
every node decides in the same way: an id that is earlier in the log has been seen, and an item
without `prev-id`, or with `no-seq`, waits for no other. The log itself drops duplicates
(`api/grip.py`).
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
# The ids that a `prev-id` is compared with: as many as the hub keeps events of a channel in memory.
MAX_SEEN = 100


class ItemSequence:
    """The ids that one reader of one channel has seen, and the events that wait for their
    predecessor.

    `window` is the number of seconds that the first parked event may still wait, from the time when
    it became the first.
    """

    __slots__ = ("_skipped_to", "parked", "seen", "window")

    def __init__(self, seen: Iterable[str] = ()) -> None:
        self.seen = deque(seen, MAX_SEEN)
        self._skipped_to = 0
        self.parked: list[Event] = []
        self.window = WINDOW_SECONDS

    def copy(self) -> ItemSequence:
        """A copy, on which events can be tried out."""
        copy = ItemSequence(self.seen)
        copy.parked = list(self.parked)
        copy.window = self.window
        return copy

    def push(self, event: Event) -> list[Event]:
        """Add an event; returns the events that are due now, none if it is parked."""
        item = item_of(event)
        first = item.no_seq or item.prev_id is None or not self.seen
        if not first and item.prev_id not in self.seen:
            if not self.parked:
                self.window = WINDOW_SECONDS
            self.parked.append(event)
            # Beyond the bound the first parked event is delivered, as after the window.
            return self.pop_overdue() if len(self.parked) > MAX_PARKED else []
        due = [event]
        self._record(event, due)
        return due

    def skip(self, events: Iterable[Event]) -> None:
        """Record the ids of events that the reader did not deliver. Polls that share the sequence
        call this with the same events; each event is recorded once.
        """
        for event in events:
            if event.offset > self._skipped_to:
                self._skipped_to = event.offset
                if (item_id := item_of(event).id) is not None:
                    self.seen.append(item_id)

    def pop_overdue(self) -> list[Event]:
        """The window of the first parked event has ended: returns that event, and those that waited
        for it.
        """
        if not self.parked:
            return []
        first = self.parked.pop(0)
        due = [first]
        self._record(first, due)
        if self.parked:
            # The next one has waited since it was published.
            self.window = max(0.0, (self.parked[0].time - first.time) / 1000)
        return due

    def _record(self, event: Event, due: list[Event]) -> None:
        item = item_of(event)
        if item.id is None:
            return
        self.seen.append(item.id)
        while True:
            followers = [e for e in self.parked if item_of(e).prev_id in self.seen]
            if not followers:
                return
            follower = followers[0]
            self.parked.remove(follower)
            due.append(follower)
            if (follower_id := item_of(follower).id) is not None:
                self.seen.append(follower_id)

    @property
    def last_id(self) -> str | None:
        """The id of the last item that was seen."""
        return self.seen[-1] if self.seen else None

    def __repr__(self) -> str:
        return f"<ItemSequence after {self.last_id}, {len(self.parked)} parked>"


class ItemSequences(dict[str, ItemSequence]):
    """The sequences of a reader's channels, by name. Equal only to itself, so it can be a key."""

    __slots__ = ()

    def copy(self) -> ItemSequences:
        return ItemSequences({name: sequence.copy() for name, sequence in self.items()})

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)


@dataclass(frozen=True, slots=True)
class SequencePosition:
    """The position from which a hold reads a channel, and the ids that were seen before it.

    A `gap` says that the origin names an item that is not in the log: only the origin knows the
    items after it.
    """

    cursor: Cursor
    seen: tuple[str, ...]
    gap: bool = False


def find_position(
    subscription: GripSubscription, page: Page, began: int, *, trusted: bool
) -> SequencePosition:
    """The position of a hold in a channel, so that it misses no item that was published during the
    request to the origin.

    The origin's response has everything that was written before the request, and a publisher writes
    before it publishes. So an item with a time before `began` is in the response, and one with a
    later time may be missing from it. A `prev-id` is exact: the items after it in the log are
    missing.

    Args:
        page: the channel's most recent events, up to its end.
        began: when the request was sent, or earlier, by the clock of the store that gives events
        their time; milliseconds since 1970.
        trusted: the response is one to a repeated request; the origin is believed, and a gap is
        accepted.
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
        # More items came in the meantime than are kept in memory.
        gap = gap or (late == 0 and bool(events) and events[0].offset > 1)
    seen = tuple(event.id for event in events[: after + 1] if event.id != str(event.cursor))
    if gap and subscription.prev_id is not None:
        seen = (*seen, subscription.prev_id)
    offset = events[after + 1].offset - 1 if after + 1 < len(events) else page.cursor.offset
    return SequencePosition(Cursor(page.cursor.epoch, offset), seen, gap and not trusted)


def _last(events: tuple[Event, ...], item_id: str) -> int:
    """The index of the last event with this id; -1 if there is none."""
    return next((i for i in reversed(range(len(events))) if events[i].id == item_id), -1)
