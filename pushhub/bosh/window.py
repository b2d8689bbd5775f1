"""The requests of a session by their rids: those that came early, those that are open, and those
whose answers are kept for a repeat (XEP-0124 §14).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pushhub.bosh.body import EMPTY, BoshBody, attributes_of

if TYPE_CHECKING:
    from collections.abc import Iterator

# [F7] How many answers are kept for a client that acknowledges, and does not.
MAX_UNACKNOWLEDGED = 20

# [F5] A client is told of an answer that it may have lost, when it had a second to come. Before
# that its acknowledgement and our answer have only crossed.
REPORT_SECONDS = 1.0
MAX_TIME = 65535  # [B9]


class OpenRequest:
    """One rid. It is early until it is processed, then open until it is answered.

    `handle` is the HTTP request that waits, None if its client has gone. `answer` is what was
    written; for a rid that was not answered it is empty.
    """

    __slots__ = ("answer", "at", "body", "handle", "key", "mark", "rid")

    def __init__(
        self, rid: int, handle: object, at: float, mark: int, key: str, body: BoshBody | None
    ) -> None:
        self.rid = rid
        self.handle = handle
        self.at = at
        """When it was received last; after its answer, when that was written."""
        self.mark = mark
        """A checksum of the request, 0 for one without payload: a repeat is the same again."""
        self.key = key
        self.body = body
        self.answer = b""

    def dump(self, now: float) -> list[Any]:
        """An answered one, as JSON takes it; its time is an age."""
        return [self.rid, self.answer.decode(), self.mark, self.key, now - self.at]

    @classmethod
    def load(cls, record: list[Any], now: float) -> OpenRequest:
        """The one that was dumped."""
        rid, answer, mark, key, age = record
        entry = cls(rid, None, now - age, mark, key, None)
        entry.answer = answer.encode()
        return entry


class Window:
    """The entries of one session."""

    __slots__ = ("answered", "early", "last", "open")

    def __init__(self, last: int) -> None:
        self.last = last
        """The highest rid that is processed; there is no gap below."""
        self.open: list[OpenRequest] = []
        """Processed and not answered, lowest first. Every answered rid is lower [E5]."""
        self.answered: list[OpenRequest] = []
        """Lowest first."""
        self.early: dict[int, OpenRequest] | None = None
        """Above a gap. None if there are none, as almost always: a dict takes some memory."""

    def find(self, rid: int) -> OpenRequest | None:
        """The entry of a rid, if there still is, or already is, one."""
        # Two lists of one or two.
        for entry in self.open:
            if entry.rid == rid:
                return entry
        for entry in self.answered:
            if entry.rid == rid:
                return entry
        return self.early.get(rid) if self.early is not None else None

    def waiting(self) -> Iterator[OpenRequest]:
        """All that are not answered, in rid order."""
        yield from self.open
        if self.early is not None:
            for rid in sorted(self.early):
                yield self.early[rid]

    def clients(self) -> list[object]:
        """The handles of those whose client is there to be answered, in rid order."""
        return [entry.handle for entry in self.waiting() if entry.handle is not None]

    def defer(self, entry: OpenRequest) -> None:
        """Keep an early one until those before it have come [K2]."""
        if self.early is None:
            self.early = {}
        self.early[entry.rid] = entry

    def next(self) -> OpenRequest | None:
        """The early one whose turn it is, if it is there."""
        if self.early is None:
            return None
        entry = self.early.pop(self.last + 1, None)
        if not self.early:
            self.early = None
        return entry

    def begin(self, entry: OpenRequest) -> None:
        """The next one is processed."""
        self.last = entry.rid
        entry.body = None
        self.open.append(entry)

    def settle(self, entry: OpenRequest, answer: bytes, now: float) -> None:
        """The lowest open one has its answer, which may be repeated [K4]."""
        assert entry is self.open[0]
        del self.open[0]
        entry.handle = None
        entry.answer = answer
        entry.at = now
        self.answered.append(entry)

    def pass_by(self, now: float) -> None:
        """The lowest open one gets nothing: its client has gone, or has a newer one."""
        self.settle(self.open[0], EMPTY, now)

    def keep(self, count: int) -> None:
        """Keep the answers of the last `count` only."""
        excess = len(self.answered) - count
        if excess > 0:
            del self.answered[:excess]

    def acknowledge(self, body: BoshBody, now: float) -> bytes:
        """The client says what it has, and need not be kept [F4] [F7]: without `ack`, everything
        before this request. What it is to be told of an answer that it may have lost, as attributes
        of the next one.

        Raises:
            BindingError: `ack` is no number.
        """
        report = b""
        ack = body.number("ack")
        if ack is None:
            ack = body.rid - 1
        elif self.answered and ack < self.answered[-1].rid:
            missing = next((entry for entry in self.answered if entry.rid == ack + 1), None)
            if missing is not None and now - missing.at >= REPORT_SECONDS:
                time = min(round((now - missing.at) * 1000), MAX_TIME)
                report = attributes_of((("report", missing.rid), ("time", time)))  # [F5]
        while self.answered and self.answered[0].rid <= ack:
            del self.answered[0]
        return report

    def __repr__(self) -> str:
        early = sorted(self.early) if self.early else []
        return f"<Window {self.last} open={[e.rid for e in self.open]} early={early}>"
