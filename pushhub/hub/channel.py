"""One channel in memory: the end of its log, and its holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.hub.tail import Tail
from pushhub.log.cursor import Cursor
from pushhub.polls.base import At

if TYPE_CHECKING:
    from pushhub.hub.channel_hold import ChannelHold
    from pushhub.log.cursor import Since
    from pushhub.log.event import Event
    from pushhub.log.read import Page
    from pushhub.polls.base import ChannelRead


def _reaches(end: Cursor, cursor: Cursor) -> bool:
    """Whether a log that ends at `end` surely has `cursor`."""
    return end.epoch == cursor.epoch and end.offset >= cursor.offset


class Channel:
    """A channel with readers.

    `tail` is None until it was read from the store. Events that arrive during that read are
    `early`; they are appended to the tail, so no event is missed between the two. Without `early`
    the channel refuses the read, because it may be older than a delete.
    """

    __slots__ = ("at", "checked", "due", "early", "holds", "name", "overdue", "tail")

    def __init__(self, name: str) -> None:
        self.name = name
        self.tail: Tail | None = None
        self.at: At | None = None
        self.holds: dict[ChannelHold, None] = {}
        self.early: list[Event] | None = None
        # When a read of the log last found nothing beyond the tail: seconds.
        self.checked = 0.0
        # The end of the log by a receipt of this process, until the tail has reached it. A tail
        # behind a receipt serves no new request, because a publisher reads its own writes.
        self.due: Cursor | None = None
        # Where the tail was when a request first met it behind `due`, and when that was: seconds.
        self.overdue: tuple[Cursor, float] | None = None

    def expect(self, cursor: Cursor) -> None:
        """Record a receipt: the log reaches `cursor`, and the tail may still end before it."""
        tail, due = self.tail, self.due
        if tail is not None and _reaches(tail.cursor, cursor):
            return
        if due is None or not _reaches(due, cursor):
            self.due = cursor

    def _settle(self, end: Cursor) -> None:
        """Forget a receipt that the tail, which ends at `end` now, has reached."""
        if self.due is not None and _reaches(end, self.due):
            self.due = self.overdue = None

    def load(self, page: Page) -> bool:
        """Take a read of the store as the tail; False if the early events do not follow it, so that
        the store must be read again.
        """
        tail = Tail(page)
        early, self.early = self.early, None
        if early is None or not all(map(tail.push, early)):
            return False
        self.tail = tail
        self.at = At(tail.cursor)
        self._settle(tail.cursor)
        return True

    def push(self, event: Event) -> bool:
        """Append a new event; False if it does not follow, so that the store must be read."""
        tail = self.tail
        if tail is None:
            if self.early is not None:
                self.early.append(event)
            return True
        if not tail.push(event):
            self.tail = None
            return False
        self.at = At(tail.cursor)
        if self.due is not None:
            self._settle(tail.cursor)
        return True

    def ends_at(self, since: Since) -> bool:
        """Whether a reader at `since` has everything that is known."""
        tail = self.tail
        if tail is None or self.due is not None or not isinstance(since, Cursor):
            return False
        cursor = tail.cursor
        return since.offset == cursor.offset and since.epoch == cursor.epoch

    def is_behind(self, at: Cursor) -> bool:
        """Whether a read of the log went further than the tail."""
        tail = self.tail
        return tail is not None and at.epoch == tail.cursor.epoch and at.offset > tail.cursor.offset

    def has_other_epoch(self, since: Since) -> bool:
        """Whether the tail has another epoch than the end of a recent read."""
        tail = self.tail
        return tail is not None and isinstance(since, Cursor) and since.epoch != tail.cursor.epoch

    def read(self, channel_read: ChannelRead) -> Page | None:
        """The read for a new request; None when the store must be read, also because the log goes
        on after the tail.
        """
        tail = self.tail
        if (
            tail is None
            or self.due is not None
            or (channel_read.tags and self._lacks(tail, channel_read))
        ):
            return None
        return tail.read(channel_read.since, channel_read.limit)

    def remembered(self, channel_read: ChannelRead) -> Page | None:
        """The read for a request that was read from the log before; None when that must happen
        again.
        """
        return None if self.tail is None else self.tail.read(channel_read.since, channel_read.limit)

    def _lacks(self, tail: Tail, channel_read: ChannelRead) -> bool:
        """Whether a client may have a newer value than the tail. An event keeps the epoch of its
        publish, so that of the last one may be old.
        """
        tags, event = channel_read.tags, tail.events[-1] if tail.events else None
        if tags and event and len(tags) == 1 and f"{event.epoch}-{event.offset}" in tags:
            # Nearly every poll for a value: the client has the last one.
            return False
        end = tail.cursor
        last = event.cursor if event else end
        return any(
            cursor.offset > end.offset if cursor.epoch == end.epoch else cursor != last
            for cursor in channel_read.seen
        )

    def __repr__(self) -> str:
        return f"<Channel {self.name} {len(self.holds)} holds {self.tail}>"
