"""The messages of an account's archive that one session has received, as ranges of offsets.

When another session of the account vanishes, its undelivered messages come to the sessions that
lack them. A session that was unavailable for a while lacks the messages of that time only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pushhub.xmpp.archive import Kept

# Closed ranges of one session: 12 kB. A range ends when a client becomes unavailable, or when
# another session gets the messages of a time without anybody; messages of forgotten ranges count as
# missing, and may come a second time. A message waits for a vanished client for minutes, and a
# client that changes its presence a hundred times meanwhile is none.
MAX_SPANS = 100


class Spans:
    """Ranges of offsets in ascending order, the last of which may be open.

    `(after, upto)` has the offsets from `after + 1` to `upto`.
    """

    __slots__ = ("closed", "start")

    def __init__(self) -> None:
        self.closed: list[tuple[int, int]] = []
        self.start: int | None = None
        """The open range has the offsets after this one; None without an open range."""

    def turn(self, is_open: bool, after: int, upto: int) -> None:
        """Open a range after an offset, or close the open one up to an offset, if necessary."""
        if is_open and self.start is None:
            self.start = after
        elif not is_open and self.start is not None:
            self._close(upto)
            self.start = None

    def miss(self, offset: int) -> None:
        """Take one offset out of the open range. Several are taken out in ascending order."""
        if self.start is not None and offset > self.start:
            self._close(offset - 1)
            self.start = offset

    def _close(self, upto: int) -> None:
        assert self.start is not None
        if upto > self.start:
            self.closed.append((self.start, upto))
            del self.closed[:-MAX_SPANS]

    def __contains__(self, offset: int) -> bool:
        if self.start is not None and offset > self.start:
            return True
        return any(after < offset <= upto for after, upto in self.closed)

    def __repr__(self) -> str:
        ranges = [f"{after + 1}-{upto}" for after, upto in self.closed]
        ranges += [] if self.start is None else [f"{self.start + 1}-"]
        return f"<Spans {' '.join(ranges)}>"


class Heard:
    """What one session has received: messages to the account, and carbon copies."""

    __slots__ = ("copies", "messages")

    def __init__(self) -> None:
        self.messages = Spans()
        self.copies = Spans()

    def has(self, offset: int, message: Kept) -> bool:
        """Whether a message of the archive has come to the session."""
        if message.copied and offset in self.copies:
            return True
        return not message.resource and offset in self.messages

    def miss(self, offsets: Iterable[int]) -> None:
        """Note messages that came to another session only. The offsets ascend."""
        for offset in offsets:
            self.messages.miss(offset)
            self.copies.miss(offset)

    def dump(self, upto: int) -> dict[str, Any]:
        """The ranges, as JSON takes them. Carbon copies end at `upto`: none are made of messages
        that come while a session is between two nodes."""
        copies = Spans()
        copies.closed, copies.start = list(self.copies.closed), self.copies.start
        copies.turn(False, upto, upto)
        messages = self.messages
        return {
            "messages": {"closed": messages.closed, "start": messages.start},
            "copies": {"closed": copies.closed},
        }

    def load(self, record: Any) -> None:
        """Go on with ranges that were dumped."""
        messages, copies = record["messages"], record["copies"]
        self.messages.closed = [(after, upto) for after, upto in messages["closed"]]
        self.messages.start = messages["start"]
        self.copies.closed = [(after, upto) for after, upto in copies["closed"]]
