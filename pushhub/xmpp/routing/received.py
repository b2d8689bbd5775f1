"""The messages of an account's archive that one session has received, as ranges of offsets.

When another session of the account vanishes, its undelivered messages go to the sessions that lack
them. A session that was unavailable for a while lacks only the messages of that time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pushhub.xmpp.storage.archive import ArchivedMessage

# Closed ranges of one session: 12 kB. A range ends when a client becomes unavailable, or when
# another session gets the messages of a time without any session. Messages of forgotten ranges
# count as missing, and may arrive twice. A message waits for a vanished client for minutes; no
# client changes its presence a hundred times meanwhile.
MAX_RANGES = 100


class OffsetRanges:
    """Ranges of offsets in ascending order, the last of which may be open.

    `(after, upto)` has the offsets from `after + 1` to `upto`.
    """

    __slots__ = ("closed", "start")

    def __init__(self) -> None:
        self.closed: list[tuple[int, int]] = []
        self.start: int | None = None
        """The open range has the offsets after this one; None without an open range."""

    def set_open(self, is_open: bool, after: int, upto: int) -> None:
        """Open a range after an offset, or close the open one up to an offset, if necessary."""
        if is_open and self.start is None:
            self.start = after
        elif not is_open and self.start is not None:
            self._close(upto)
            self.start = None

    def remove(self, offset: int) -> None:
        """Remove one offset from the open range. Several must be removed in ascending order."""
        if self.start is not None and offset > self.start:
            self._close(offset - 1)
            self.start = offset

    def _close(self, upto: int) -> None:
        assert self.start is not None
        if upto > self.start:
            self.closed.append((self.start, upto))
            del self.closed[:-MAX_RANGES]

    def __contains__(self, offset: int) -> bool:
        if self.start is not None and offset > self.start:
            return True
        return any(after < offset <= upto for after, upto in self.closed)

    def __repr__(self) -> str:
        ranges = [f"{after + 1}-{upto}" for after, upto in self.closed]
        ranges += [] if self.start is None else [f"{self.start + 1}-"]
        return f"<OffsetRanges {' '.join(ranges)}>"


class ReceivedMessages:
    """What one session has received: messages to the account, messages to its own resource, and
    carbon copies."""

    __slots__ = ("copies", "direct", "messages")

    def __init__(self) -> None:
        self.messages = OffsetRanges()
        self.direct = OffsetRanges()
        self.copies = OffsetRanges()

    def has(self, offset: int, message: ArchivedMessage, resource: str) -> bool:
        """Whether the session, which has bound `resource`, has received a message of the
        archive."""
        if message.copied and offset in self.copies:
            return True
        if message.resource:
            return message.resource == resource and offset in self.direct
        return offset in self.messages

    def remove(self, offsets: Iterable[int]) -> None:
        """Remove messages that only another session received. The offsets ascend."""
        for offset in offsets:
            self.messages.remove(offset)
            self.copies.remove(offset)

    def dump(self, upto: int) -> dict[str, Any]:
        """The ranges, as JSON. Carbon copies end at `upto`: a session receives none during its
        migration."""
        copies = OffsetRanges()
        copies.closed, copies.start = list(self.copies.closed), self.copies.start
        copies.set_open(False, upto, upto)
        messages = self.messages
        return {
            "messages": {"closed": messages.closed, "start": messages.start},
            "direct": {"start": self.direct.start},
            "copies": {"closed": copies.closed},
        }

    def load(self, record: Any) -> None:
        """Restore the ranges in a dump."""
        messages, copies = record["messages"], record["copies"]
        self.messages.closed = [(after, upto) for after, upto in messages["closed"]]
        self.messages.start = messages["start"]
        # Nodes of an older version do not write `direct`.
        self.direct.start = record.get("direct", {}).get("start")
        self.copies.closed = [(after, upto) for after, upto in copies["closed"]]
