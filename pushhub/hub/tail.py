"""The recent end of one channel's log, in memory; it serves nearly every poll."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.log.cursor import RECENT_EVENTS, Cursor, Since, Start
from pushhub.log.read import MAX_RESPONSE_BYTES, Page, clip

if TYPE_CHECKING:
    from pushhub.log.event import Event

# A reader that missed more is served from the store.
MAX_TAIL_EVENTS = RECENT_EVENTS
MAX_TAIL_BYTES = MAX_RESPONSE_BYTES


class Tail:
    """The last events of a channel, contiguous, and the position after them.

    A tail serves the events that it holds. It never declares a loss: for all else the hub reads the
    store.
    """

    __slots__ = ("cursor", "events", "size")

    def __init__(self, page: Page) -> None:
        self.events = list(page.events)
        self.cursor = page.cursor
        self.size = sum(event.size for event in page.events)

    def push(self, event: Event) -> bool:
        """Append a new event; False if it does not follow the last one, so that this is no tail any
        more.
        """
        cursor = self.cursor
        if event.epoch != cursor.epoch:
            return False
        if event.offset != cursor.offset + 1:
            return event.offset <= cursor.offset
        self.events.append(event)
        self.size += event.size
        self.cursor = event.cursor
        if len(self.events) > MAX_TAIL_EVENTS or self.size > MAX_TAIL_BYTES:
            self.shrink(MAX_TAIL_EVENTS, MAX_TAIL_BYTES)
        return True

    def shrink(self, events: int, size: int) -> None:
        """Forget the oldest until at most `events` of about `size` bytes are left; the last one
        stays.
        """
        drop = max(0, len(self.events) - max(1, events))
        left = self.size - sum(event.size for event in self.events[:drop])
        while left > size and drop < len(self.events) - 1:
            left -= self.events[drop].size
            drop += 1
        del self.events[:drop]
        self.size = left

    def read(self, since: Since, limit: int) -> Page | None:
        """The events after `since`; None when only the store has them."""
        cursor = self.cursor
        events = self.events
        if since is Start.NOW or (not events and isinstance(since, Start)):
            return Page((), cursor, up_to_date=True)
        if since is Start.LAST:
            return Page((events[-1],), cursor, up_to_date=True)
        if since is Start.RECENT:
            return Page(tuple(events), cursor, up_to_date=True)
        if since is Start.EARLIEST:
            return None
        if since.epoch != cursor.epoch:
            return None
        missing = cursor.offset - since.offset
        if missing == 0:
            return Page((), cursor, up_to_date=True)
        if not 0 < missing <= len(events):
            return None
        page = clip(events[-missing:], limit)
        if len(page) == missing:
            return Page(tuple(page), cursor, up_to_date=True)
        return Page(tuple(page), Cursor(cursor.epoch, page[-1].offset), up_to_date=False)

    def __repr__(self) -> str:
        return f"<Tail {len(self.events)} events up to {self.cursor}>"
