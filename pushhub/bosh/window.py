"""The requests of a session by their rids: early ones, open ones, and those whose responses are
kept for a repeat (XEP-0124 §14).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pushhub.bosh.body import EMPTY, BoshBody, attributes_of

if TYPE_CHECKING:
    from collections.abc import Iterator

# [F7] How many responses are kept for a client that announced acknowledgements, and sends none.
MAX_UNACKNOWLEDGED = 20

# [F5] After a second without an acknowledgement, the server reports a response as possibly lost.
# Before that the acknowledgement and the response may just have crossed.
REPORT_SECONDS = 1.0
MAX_TIME = 65535  # [B9]


class OpenRequest:
    """One rid. The request is early until it is processed, then open until it has a response.

    `handle` is the HTTP request that waits, None if its client disconnected. `answer` is the
    response's body, empty before the response.
    """

    __slots__ = ("answer", "at", "body", "handle", "key", "mark", "rid")

    def __init__(
        self, rid: int, handle: object, at: float, mark: int, key: str, body: BoshBody | None
    ) -> None:
        self.rid = rid
        self.handle = handle
        self.at = at
        """The time of the last arrival; after the response, the time of that."""
        self.mark = mark
        """A checksum of the request, 0 for one without payload: a repeat must have the same."""
        self.key = key
        self.body = body
        self.answer = b""

    def dump(self, now: float) -> list[Any]:
        """A request with a response, as JSON; its time is an age."""
        return [self.rid, self.answer.decode(), self.mark, self.key, now - self.at]

    @classmethod
    def load(cls, record: list[Any], now: float) -> OpenRequest:
        """The request in a dump."""
        rid, answer, mark, key, age = record
        entry = cls(rid, None, now - age, mark, key, None)
        entry.answer = answer.encode()
        return entry


class Window:
    """The requests of one session."""

    __slots__ = ("answered", "early", "last", "open")

    def __init__(self, last: int) -> None:
        self.last = last
        """The highest processed rid; all lower ones are processed, too."""
        self.open: list[OpenRequest] = []
        """Processed and without a response, lowest first. Rids with a response are lower [E5]."""
        self.answered: list[OpenRequest] = []
        """Lowest first."""
        self.early: dict[int, OpenRequest] | None = None
        """Requests above a gap. None without any, as almost always: a dict takes memory."""

    def find(self, rid: int) -> OpenRequest | None:
        """The request with a rid, if it is kept."""
        # Each list has one or two entries.
        for entry in self.open:
            if entry.rid == rid:
                return entry
        for entry in self.answered:
            if entry.rid == rid:
                return entry
        return self.early.get(rid) if self.early is not None else None

    def waiting(self) -> Iterator[OpenRequest]:
        """All requests without a response, in rid order."""
        yield from self.open
        if self.early is not None:
            for rid in sorted(self.early):
                yield self.early[rid]

    def clients(self) -> list[object]:
        """The handles of the requests with a connected client, in rid order."""
        return [entry.handle for entry in self.waiting() if entry.handle is not None]

    def defer(self, entry: OpenRequest) -> None:
        """Keep an early request until those before it have arrived [K2]."""
        if self.early is None:
            self.early = {}
        self.early[entry.rid] = entry

    def next(self) -> OpenRequest | None:
        """Take the next early request, if it has arrived."""
        if self.early is None:
            return None
        entry = self.early.pop(self.last + 1, None)
        if not self.early:
            self.early = None
        return entry

    def begin(self, entry: OpenRequest) -> None:
        """Open the next request."""
        self.last = entry.rid
        entry.body = None
        self.open.append(entry)

    def settle(self, entry: OpenRequest, answer: bytes, now: float) -> None:
        """Close the lowest open request with its response, which may be repeated [K4]."""
        assert entry is self.open[0]
        del self.open[0]
        entry.handle = None
        entry.answer = answer
        entry.at = now
        self.answered.append(entry)

    def pass_by(self, now: float) -> None:
        """Close the lowest open request with an empty response: its client disconnected, or has a
        newer request."""
        self.settle(self.open[0], EMPTY, now)

    def keep(self, count: int) -> None:
        """Keep only the last `count` responses."""
        excess = len(self.answered) - count
        if excess > 0:
            del self.answered[:excess]

    def acknowledge(self, body: BoshBody, now: float) -> bytes:
        """Drop the responses that the client acknowledges [F4] [F7]: without `ack`, all before this
        request. Return the report of a possibly lost response, as attributes of the next one.

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
