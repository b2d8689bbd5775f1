"""A stream that an origin began and that publishers go on with: one poll, turn after turn.

What a turn reads is written as one part, though the part may be empty: what was read is behind the
reader then. What comes after the part is said by `then`, for whoever drives the stream
(`origin/grip/stream.py`), which also sets for how long the next turn waits, and for what.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from pushhub.grip.filters import apply_filters
from pushhub.grip.item import DeliveryAction, item_of
from pushhub.http.response import Part
from pushhub.log.read import Gap, Read
from pushhub.polls.base import DEFAULT_LIMIT, NO_HINT, ChannelRead, Hint, Positions

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping

    from pushhub.grip.held_response import Held
    from pushhub.grip.sequence import ItemSequences
    from pushhub.http.problem import Problem
    from pushhub.log.cursor import Cursor
    from pushhub.log.event import Event


class For(Enum):
    """What a turn waits for, beside news."""

    KEEP_ALIVE = "keep-alive"
    NEXT = "next"
    """The next link's timeout."""
    WINDOW = "window"
    """The predecessor of an item that came too early."""


class NextTurn(Enum):
    """What a stream does after a part."""

    GO_ON = "go-on"
    FETCH = "fetch"
    """Ask the origin by the next link."""
    END = "end"


class HeldStream:
    """One stream's poll. It belongs to one reader and moves on with what it reads."""

    __slots__ = ("active", "held", "orders", "reads", "stirred", "then", "wait", "waits_for")

    kind = "stream of GRIP"
    variant: Hashable = None

    def __init__(self, held: Held, cursors: Mapping[str, Cursor], orders: ItemSequences) -> None:
        self.held = held
        self.orders = orders
        self.reads = _wants(cursors)
        self.wait: int | None = None
        self.waits_for = For.KEEP_ALIVE
        self.then = NextTurn.GO_ON
        # The channels that had something since the next link was fetched.
        self.active: set[str] = set()
        # Whether something was written since somebody looked: whatever keeps it alive begins anew.
        self.stirred: For | None = None

    def reply(self, reads: Mapping[str, Read], hint: Hint = NO_HINT) -> Part | None:
        if any(isinstance(read, Gap) for read in reads.values()):
            return self._lost(reads)
        events = [e for read in reads.values() if not isinstance(read, Gap) for e in read.events]
        if not events:
            return None
        events.sort(key=lambda event: event.time)
        moved = {name: read.cursor for name, read in reads.items() if not isinstance(read, Gap)}
        due = [ready for event in events for ready in self.orders[event.channel].take(event)]
        if self._recovers() and any(order.parked for order in self.orders.values()):
            # The log is whole up to here and does not have what should stand before.
            self.then = NextTurn.FETCH
        return self._part(due, moved)

    def position(self, channel: str, read: Read) -> Cursor:
        return read.latest if isinstance(read, Gap) else read.cursor

    def empty(self, at: Positions, hint: Hint) -> Part:
        if hint.retry_ms is not None:
            return Part(b"", last=True)
        match self.waits_for:
            case For.NEXT:
                self.then = NextTurn.FETCH
                return Part(b"")
            case For.WINDOW:
                waiting = [order for order in self.orders.values() if order.parked]
                first = min(waiting, key=lambda order: order.parked[0].time)
                return self._part(first.overdue(), {})
        beat = self.held.instruct.keep_alive
        self.stirred = For.KEEP_ALIVE
        return Part(beat.content if beat else b"")

    def error(self, problem: Problem) -> Part:
        self.then = NextTurn.END
        return Part(b"", last=True)

    def turn(self, part: Part) -> HeldStream:
        """The next turn: this one has moved on by itself."""
        return self

    def _lost(self, reads: Mapping[str, Read]) -> Part:
        """Something may be lost: the origin fills it in, or the reader is sent away to ask anew."""
        if not self._recovers():
            self.then = NextTurn.END
            return Part(b"", last=True)
        self.then = NextTurn.FETCH
        moved = {n: r.oldest if isinstance(r, Gap) else r.cursor for n, r in reads.items()}
        return self._part((), moved)

    def _part(self, due: Iterable[Event], moved: Mapping[str, Cursor]) -> Part:
        pieces = []
        for event in due:
            item = item_of(event)
            pushed = item.stream
            if pushed is None:
                continue
            if pushed.action is DeliveryAction.HINT:
                if self._recovers():
                    self.then = NextTurn.FETCH
                continue
            if pushed.action is DeliveryAction.CLOSE:
                self.then = NextTurn.END
                break
            content = apply_filters(
                self.held.subscriptions[event.channel].filters,
                pushed.content_filters,
                self.held.sight(item, self.orders),
                pushed.content,
            )
            if content is not None:
                pieces.append(content)
                self.active.add(event.channel)
        if pieces and self.stirred is None:
            self.stirred = For.NEXT
        cursors = {want.channel: want.since for want in self.reads}
        self.reads = _wants({**cursors, **moved})  # type: ignore[dict-item]
        return Part(
            b"".join(pieces), tuple(moved.items()), self.then is NextTurn.END, events=len(pieces)
        )

    def last_ids(self) -> tuple[tuple[str, str], ...]:
        """What the reader has seen, by channel, where the origin named what it knew."""
        return tuple(
            (one.channel, self.orders[one.channel].last or one.prev_id)
            for one in self.held.instruct.subscriptions
            if one.prev_id is not None
        )

    def _recovers(self) -> bool:
        return self.held.instruct.next is not None


def _wants(cursors: Mapping[str, Cursor]) -> tuple[ChannelRead, ...]:
    return tuple(ChannelRead(name, at, DEFAULT_LIMIT) for name, at in cursors.items())
