"""What the hub remembers of one channel: the end of its log, and who waits for more."""

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
    """Whether a log that ends at `end` has `cursor`, as far as it can be said."""
    return end.epoch == cursor.epoch and end.offset >= cursor.offset


class Channel:
    """A channel that somebody reads.

    `tail` is None until the store was asked. Events that come while it is being asked are `early`;
    they are joined to the tail when it is there, and nothing falls between the two. Without `early`
    the store's answer is not taken: it may be older than a delete.
    """

    __slots__ = ("at", "checked", "due", "early", "holds", "name", "overdue", "tail")

    def __init__(self, name: str) -> None:
        self.name = name
        self.tail: Tail | None = None
        self.at: At | None = None
        self.holds: dict[ChannelHold, None] = {}
        self.early: list[Event] | None = None
        # When the log was last asked whether it had more than the tail, and had not: seconds.
        self.checked = 0.0
        # The end of the log by a receipt of this process, until the tail has reached it. A tail
        # that is behind a receipt answers no new request: a publisher reads its own writes.
        self.due: Cursor | None = None
        # Where the tail was when a request first met it behind `due`, and when that was: seconds.
        self.overdue: tuple[Cursor, float] | None = None

    def expect(self, cursor: Cursor) -> None:
        """Take note of a receipt: the log reaches `cursor`, which the tail may not know yet."""
        tail, due = self.tail, self.due
        if tail is not None and _reaches(tail.cursor, cursor):
            return
        if due is None or not _reaches(due, cursor):
            self.due = cursor

    def _settle(self, end: Cursor) -> None:
        """The tail ends at `end` now: is that where a receipt said that the log ends?"""
        if self.due is not None and _reaches(end, self.due):
            self.due = self.overdue = None

    def load(self, page: Page) -> bool:
        """Take the store's answer as the tail; False if the early events do not follow, and it must
        be asked again.
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
        """Take in a new event; False if it does not follow what is known, and the store must be
        asked.
        """
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
        """Whether a reader at `since` has all that is known."""
        tail = self.tail
        if tail is None or self.due is not None or not isinstance(since, Cursor):
            return False
        cursor = tail.cursor
        return since.offset == cursor.offset and since.epoch == cursor.epoch

    def is_behind(self, at: Cursor) -> bool:
        """Whether somebody has read in the log what the tail does not reach."""
        tail = self.tail
        return tail is not None and at.epoch == tail.cursor.epoch and at.offset > tail.cursor.offset

    def is_of_another_life(self, since: Since) -> bool:
        """Whether the tail is of another epoch than where somebody has just read up to."""
        tail = self.tail
        return tail is not None and isinstance(since, Cursor) and since.epoch != tail.cursor.epoch

    def read(self, want: ChannelRead) -> Page | None:
        """The answer to a new request; None when the store must be asked, also because the log is
        known to go on after the tail.
        """
        tail = self.tail
        if tail is None or self.due is not None or (want.tags and self._lacks(tail, want)):
            return None
        return tail.read(want.since, want.limit)

    def remembered(self, want: ChannelRead) -> Page | None:
        """The answer to a request that the log was asked for already; None when it must be asked
        again.
        """
        return None if self.tail is None else self.tail.read(want.since, want.limit)

    def _lacks(self, tail: Tail, want: ChannelRead) -> bool:
        """Whether a client has a newer value than the tail, or one of which the tail cannot say
        which is newer. An event keeps the epoch that it was born in, so the last one's may be old.
        """
        tags, event = want.tags, tail.events[-1] if tail.events else None
        if tags and event and len(tags) == 1 and f"{event.epoch}-{event.offset}" in tags:
            # Nearly every poll for a value: the client has the last one.
            return False
        end = tail.cursor
        last = event.cursor if event else end
        return any(
            cursor.offset > end.offset if cursor.epoch == end.epoch else cursor != last
            for cursor in want.seen
        )

    def __repr__(self) -> str:
        return f"<Channel {self.name} {len(self.holds)} holds {self.tail}>"
