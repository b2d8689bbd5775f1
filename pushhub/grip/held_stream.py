"""A held stream: the origin begins it, and publishers continue it. One poll, turn after turn.

A turn writes what it reads as one part, which may be empty: the reader's position moves all the
same. `action` is the step after the part, for the driver of the stream (`origin/grip/stream.py`),
which also sets how long the next turn waits, and for which timer.
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

    from pushhub.grip.held_response import HeldInstruct
    from pushhub.grip.sequence import ItemSequences
    from pushhub.http.problem import Problem
    from pushhub.log.cursor import Cursor
    from pushhub.log.event import Event


class StreamTimer(Enum):
    """The timer that ends a turn without an item."""

    KEEP_ALIVE = "keep-alive"
    NEXT_LINK = "next-link"
    """The timeout of the next link."""
    WINDOW = "window"
    """The wait for the predecessor of an item that came too early."""


class StreamAction(Enum):
    """What a stream does after a part."""

    WAIT = "wait"
    FETCH = "fetch"
    """Follow the next link."""
    END = "end"


class HeldStream:
    """The poll of one stream. It belongs to one reader, and its position moves with each read."""

    __slots__ = ("action", "active", "held", "reads", "sequences", "timer", "wait", "written")

    kind = "stream of GRIP"
    variant: Hashable = None

    def __init__(
        self, held: HeldInstruct, cursors: Mapping[str, Cursor], sequences: ItemSequences
    ) -> None:
        self.held = held
        self.sequences = sequences
        self.reads = _channel_reads(cursors)
        self.wait: int | None = None
        self.timer = StreamTimer.KEEP_ALIVE
        self.action = StreamAction.WAIT
        # The channels with an item since the next link was fetched.
        self.active: set[str] = set()
        # Which of keep-alive and item was written since the last turn, if any: the timers
        # begin again with it.
        self.written: StreamTimer | None = None

    def reply(self, reads: Mapping[str, Read], hint: Hint = NO_HINT) -> Part | None:
        if any(isinstance(read, Gap) for read in reads.values()):
            return self._lost(reads)
        events = [
            event for read in reads.values() if not isinstance(read, Gap) for event in read.events
        ]
        if not events:
            return None
        events.sort(key=lambda event: event.time)
        moved = {name: read.cursor for name, read in reads.items() if not isinstance(read, Gap)}
        due = [ready for event in events for ready in self.sequences[event.channel].push(event)]
        if self._recovers() and any(sequence.parked for sequence in self.sequences.values()):
            # The log is complete up to here, and the predecessor is not in it.
            self.action = StreamAction.FETCH
        return self._part(due, moved)

    def position(self, channel: str, read: Read) -> Cursor:
        return read.latest if isinstance(read, Gap) else read.cursor

    def empty(self, at: Positions, hint: Hint) -> Part:
        if hint.retry_ms is not None:
            return Part(b"", last=True)
        match self.timer:
            case StreamTimer.NEXT_LINK:
                self.action = StreamAction.FETCH
                return Part(b"")
            case StreamTimer.WINDOW:
                waiting = [sequence for sequence in self.sequences.values() if sequence.parked]
                first = min(waiting, key=lambda sequence: sequence.parked[0].time)
                return self._part(first.pop_overdue(), {})
        keep_alive = self.held.instruct.keep_alive
        self.written = StreamTimer.KEEP_ALIVE
        return Part(keep_alive.content if keep_alive else b"")

    def error(self, problem: Problem) -> Part:
        self.action = StreamAction.END
        return Part(b"", last=True)

    def turn(self, part: Part) -> HeldStream:
        """The poll of the next turn: the same, whose position has moved."""
        return self

    def _lost(self, reads: Mapping[str, Read]) -> Part:
        """Items may be lost: the origin repairs the gap by the next link, or else the stream ends
        and its reader connects again.
        """
        if not self._recovers():
            self.action = StreamAction.END
            return Part(b"", last=True)
        self.action = StreamAction.FETCH
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
                    self.action = StreamAction.FETCH
                continue
            if pushed.action is DeliveryAction.CLOSE:
                self.action = StreamAction.END
                break
            content = apply_filters(
                self.held.subscriptions[event.channel].filters,
                pushed.content_filters,
                self.held.filter_input(item, self.sequences),
                pushed.content,
            )
            if content is not None:
                pieces.append(content)
                self.active.add(event.channel)
        if pieces and self.written is None:
            self.written = StreamTimer.NEXT_LINK
        cursors = {channel_read.channel: channel_read.since for channel_read in self.reads}
        self.reads = _channel_reads({**cursors, **moved})  # type: ignore[dict-item]
        return Part(
            b"".join(pieces),
            tuple(moved.items()),
            self.action is StreamAction.END,
            events=len(pieces),
        )

    def last_ids(self) -> tuple[tuple[str, str], ...]:
        """The last item that the reader has seen, of each channel with a `prev-id`."""
        return tuple(
            (each.channel, self.sequences[each.channel].last_id or each.prev_id)
            for each in self.held.instruct.subscriptions
            if each.prev_id is not None
        )

    def _recovers(self) -> bool:
        return self.held.instruct.next is not None


def _channel_reads(cursors: Mapping[str, Cursor]) -> tuple[ChannelRead, ...]:
    return tuple(ChannelRead(name, at, DEFAULT_LIMIT) for name, at in cursors.items())
