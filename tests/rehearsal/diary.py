"""The records of a run: histories of three kinds, every exchange with the proxy, every strike."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.faults.book import Book

# The histories: the log's readers; sessions of BOSH; resources of the origin, GRIP included.
LOG, CHAT, ORIGIN = "log", "chat", "origin"
BOOKS = (LOG, CHAT, ORIGIN)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request, as its client saw it. Status 0 is a connection that broke."""

    client: str
    kind: str
    method: str
    begun: float
    ended: float
    status: int
    attempt: int = 1
    """1, and one more for each repetition of the same request."""
    retry_after: bool = False
    ours: bool = False
    """Whether the body is a problem document of pushhub."""
    stale: bool = False
    """Whether a kept connection was closed while it was idle, so that the request was not read."""
    text: str = ""


@dataclass(slots=True)
class Strike:
    """A fault: from the first act to the end of the repair, and the settled state after it."""

    fault: str
    begun: float
    healed: float = 0.0
    ended: float = 0.0
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Diary:
    """All that the verdict needs."""

    books: dict[str, Book] = field(default_factory=lambda: {name: Book() for name in BOOKS})
    exchanges: list[Exchange] = field(default_factory=list)
    strikes: list[Strike] = field(default_factory=list)
    abuse: dict[int, int] = field(default_factory=dict)
    """The responses to the abuser, by status."""

    def now(self) -> float:
        return self.books[LOG].now()
