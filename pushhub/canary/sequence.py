"""The positions of a reader of one channel, and the events that the reader missed without a gap."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pushhub.log.cursor import Cursor


class EventSequence:
    """The offsets of a channel are contiguous, so an offset that is skipped is an event that was
    lost. The reader must be told of that by a gap; `untold` counts the events without one.
    """

    __slots__ = ("cursor", "gaps", "untold")

    def __init__(self) -> None:
        self.cursor: Cursor | None = None
        self.gaps = 0
        self.untold = 0

    def begin(self, cursor: Cursor) -> None:
        """The reader begins after `cursor`, or goes on there after a reconnect."""
        if self.cursor is None:
            self.cursor = cursor
        elif cursor.epoch != self.cursor.epoch:
            self.untold += 1  # The log has another epoch, and no gap has told that.
            self.cursor = cursor
        elif cursor.offset > self.cursor.offset:
            self.untold += cursor.offset - self.cursor.offset
            self.cursor = cursor

    def take(self, cursor: Cursor) -> None:
        """The reader has received the event at `cursor`. A repeated event is no loss."""
        last = self.cursor
        if last is not None:
            if cursor.epoch != last.epoch:
                self.untold += 1
            elif cursor.offset <= last.offset:
                return
            else:
                self.untold += cursor.offset - last.offset - 1
        self.cursor = cursor

    def gap(self, cursor: Cursor | None = None) -> None:
        """The reader was told of a gap, and goes on after `cursor`, or at the next event."""
        self.gaps += 1
        self.cursor = cursor

    def has(self, cursor: Cursor) -> bool:
        """Whether the reader has received the events up to `cursor`, or was told of a gap."""
        last = self.cursor
        return last is not None and (last.epoch != cursor.epoch or last.offset >= cursor.offset)
