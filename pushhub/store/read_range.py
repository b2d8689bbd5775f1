"""Which offsets a channel keeps, and what that means for a reader."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pushhub.log.cursor import RECENT_EVENTS, Cursor, Since, Start
from pushhub.log.read import MAX_RESPONSE_BYTES, Gap, Page, Reason, clip

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pushhub.log.event import Event


# The lowest high-water mark of removed channels, but for none. It rises by doubling: each rise is a
# gap for readers that wait on a channel that does not exist, so there must be few.
LEAST_FLOOR = 1024


def raised(floor: int, top: int) -> int:
    """A store's high-water mark after a channel with the last offset `top` was removed: no offset
    of any removed channel is above it, and channels that are made later begin above it. So no
    cursor from before can stand for an event of after.
    """
    if top <= floor:
        return floor
    return max(LEAST_FLOOR, 1 << (top - 1).bit_length())


def absent(epoch: str, floor: int) -> ReadRange:
    """The range of a channel that does not exist."""
    return ReadRange(epoch, floor + 1, floor)


@dataclass(frozen=True, slots=True)
class ReadRange:
    """A channel keeps the offsets `oldest` to `top`; nothing when `oldest` is `top + 1`.

    `epoch` is the store's present one, not that of the events.
    """

    epoch: str
    oldest: int
    top: int

    @property
    def before(self) -> Cursor:
        """The cursor before the oldest event that is kept."""
        return Cursor(self.epoch, self.oldest - 1)

    @property
    def latest(self) -> Cursor:
        """The cursor after the last event."""
        return Cursor(self.epoch, self.top)

    def locate(self, since: Since) -> int | Gap:
        """The offset after which to read, or the gap."""
        match since:
            case Start.EARLIEST:
                return self.oldest - 1
            case Start.NOW:
                return self.top
            case Start.LAST:
                return max(self.top - 1, self.oldest - 1)
            case Start.RECENT:
                return max(self.top - RECENT_EVENTS, self.oldest - 1)
        if since.epoch != self.epoch:
            return self._gap(Reason.EPOCH)
        if since.offset > self.top:
            return self._gap(Reason.AHEAD)
        if since.offset < self.oldest - 1:
            return self._gap(Reason.TRIMMED)
        return since.offset

    def page(self, after: int, events: Iterable[Event], limit: int) -> Page:
        """A page of at most `limit` events and about 1 MiB at most; `events` begin after `after`.

        At most one more event is taken from `events` than the page has.
        """
        taken: list[Event] = []
        size = 0
        for event in events:
            taken.append(event)
            size += event.size
            if len(taken) >= limit or size > MAX_RESPONSE_BYTES:
                break
        returned = tuple(clip(taken, limit))
        offset = returned[-1].offset if returned else after
        return Page(returned, Cursor(self.epoch, offset), up_to_date=offset >= self.top)

    def tail(self, events: Iterable[Event], limit: int) -> Page:
        """A page of the last events; `events` come newest first."""
        taken: list[Event] = []
        size = 0
        for event in events:
            size += event.size
            if size > MAX_RESPONSE_BYTES and taken:
                break
            taken.append(event)
            if len(taken) >= limit:
                break
        return Page(tuple(reversed(taken)), self.latest, up_to_date=True)

    def _gap(self, reason: Reason) -> Gap:
        return Gap(reason, self.before, self.latest)
