"""A client's position in one channel: `<epoch>-<offset>`, opaque to clients.

The epoch names the incarnation of the log: an offset of one incarnation is invalid in another.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from sys import intern

# An epoch is drawn by a store; 12 characters are usual. The bound only keeps garbage short.
_CURSOR = re.compile(r"([0-9a-z]{1,32})-(0|[1-9][0-9]{0,17})", re.ASCII)


class CursorError(ValueError):
    """The text is no cursor; the message is a sentence for its sender."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Everything up to and including `offset`, of the log's life `epoch`, has been read."""

    epoch: str
    offset: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.offset}"

    @property
    def etag(self) -> str:
        """The cursor as a strong entity tag (RFC 9110 §8.8.3)."""
        return f'"{self.epoch}-{self.offset}"'


# The recent events of a channel: more than a reader misses between two polls.
RECENT_EVENTS = 100


class Start(Enum):
    """Where a reader without a cursor begins."""

    EARLIEST = "earliest"
    """At the oldest event that is kept."""
    NOW = "now"
    """After the newest event: only later ones."""
    LAST = "last"
    """With the newest event itself, as for a value. No term of the API."""
    RECENT = "recent"
    """With the last hundred or so, which the hub keeps in memory. No term of the API."""


Since = Cursor | Start


def parse_cursor(text: str) -> Cursor:
    """Read a cursor that `str(cursor)` wrote.

    Raises:
        CursorError: the text is no cursor.
    """
    found = _CURSOR.fullmatch(text)
    if found is None:
        raise CursorError(
            "This is not a cursor of pushhub; send a 'cursor' exactly as received, or 'earliest' "
            "or 'now'."
        )
    # All cursors of one life of the log share the text of its epoch.
    return Cursor(intern(found[1]), int(found[2]))


def parse_since(text: str) -> Since:
    """Read the position of a feed: a cursor, `earliest` or `now`.

    Raises:
        CursorError: the text is none of them.
    """
    if text == "earliest":
        return Start.EARLIEST
    if text == "now":
        return Start.NOW
    return parse_cursor(text)
