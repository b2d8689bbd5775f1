"""What the hub remembers of one channel: the end of its log, and who waits for more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.hub.tail import Tail
from pushhub.protocol.cursor import Cursor
from pushhub.protocol.poll import At

if TYPE_CHECKING:
    from pushhub.hub.hold import Parked
    from pushhub.protocol.cursor import Since
    from pushhub.protocol.event import Event
    from pushhub.protocol.page import Page


class Channel:
    """A channel that somebody reads.

    `tail` is None until the store was asked. Events that come while it is being asked are `early`;
    they are joined to the tail when it is there, and nothing falls between the two. Without `early`
    the store's answer is not taken: it may be older than a delete.
    """

    __slots__ = ("at", "checked", "early", "holds", "name", "tail")

    def __init__(self, name: str) -> None:
        self.name = name
        self.tail: Tail | None = None
        self.at: At | None = None
        self.holds: dict[Parked, None] = {}
        self.early: list[Event] | None = None
        # When the log was last asked whether it had more than the tail, and had not: seconds.
        self.checked = 0.0

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
        return True

    def ends_at(self, since: Since) -> bool:
        """Whether a reader at `since` has all that is known."""
        tail = self.tail
        if tail is None or not isinstance(since, Cursor):
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

    def read(self, since: Since, limit: int) -> Page | None:
        """The events after `since`; None when the store must be asked."""
        return None if self.tail is None else self.tail.read(since, limit)

    def __repr__(self) -> str:
        return f"<Channel {self.name} {len(self.holds)} holds {self.tail}>"
