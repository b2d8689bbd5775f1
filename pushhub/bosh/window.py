"""The requests of a session by their rids: early ones, open ones, and those whose responses are
kept for a repeat (XEP-0124 §14).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pushhub import xml
from pushhub.bosh.action import Respond
from pushhub.bosh.body import EMPTY, BoshBody, attributes_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pushhub.bosh.action import Action
    from pushhub.xml import Element

# [F7] How many responses are kept for a client that announced acknowledgements, and sends none.
MAX_UNACKNOWLEDGED = 20

# Larger ones than these together are kept for the last two requests only: a client that announced
# acknowledgements, and sends none, has no claim to twenty times 256 KiB.
MAX_KEPT_BYTES = 1024 * 1024

# [F5] After a second without an acknowledgement, the server reports a response as possibly lost.
# Before that the acknowledgement and the response may just have crossed.
REPORT_SECONDS = 1.0
MAX_TIME = 65535  # [B9]

# [K6] Connections of one rid that are held: the one that the client has given up, and the one that
# it reads; or one each of two pages that share a session.
MAX_CONNECTIONS = 2


class OpenRequest:
    """One rid. The request is early until it is processed, then open until it has a response.

    A rid has one response, and all its connections get that response: the network decides which
    connection arrives last, so the last one may be the one that the client has given up [K6].

    `handles` are the HTTP requests that wait, none if all clients disconnected. `response` is the
    response's body, empty before the response.
    """

    __slots__ = ("at", "body", "checksum", "handles", "key", "must_be_empty", "response", "rid")

    def __init__(
        self, rid: int, handle: object, at: float, checksum: int, key: str, body: BoshBody | None
    ) -> None:
        self.rid = rid
        self.handles: tuple[object, ...] = (handle,)
        self.at = at
        """The time of the first waiting connection; after the response, the time of that."""
        self.must_be_empty = False
        """Whether the response must be empty, and due immediately: one of several connections was
        closed, or there are too many. The client may read none of the others, and after the reload
        of a page it does not repeat the request."""
        self.checksum = checksum
        """A checksum of the request, 0 for one without payload: a repeat must have the same."""
        self.key = key
        self.body = body
        self.response = b""

    def dump(self, now: float) -> list[Any]:
        """A request with a response, as JSON; its time is an age."""
        return [self.rid, self.response.decode(), self.checksum, self.key, now - self.at]

    @classmethod
    def load(cls, record: list[Any], now: float) -> OpenRequest:
        """The request in a dump."""
        rid, response, checksum, key, age = record
        entry = cls(rid, None, now - age, checksum, key, None)
        entry.handles = ()
        entry.response = response.encode()
        return entry

    def join(self, handle: object, now: float) -> None:
        """Add a connection that waits for the response: a repeat [K6]."""
        if not self.handles:
            self.at = now
        self.handles = (*self.handles, handle)
        self.must_be_empty = self.must_be_empty or len(self.handles) > MAX_CONNECTIONS

    def leave(self, handle: object) -> bool:
        """Remove a closed connection; return whether it was one of these."""
        left = tuple(other for other in self.handles if other is not handle)
        if len(left) == len(self.handles):
            return False
        self.handles = left
        self.must_be_empty = bool(left)
        return True

    def respond(self, body: bytes) -> list[Action]:
        """Respond to every connection."""
        return [Respond(handle, body) for handle in self.handles]


class Window:
    """The requests of one session.

    Args:
        last: the rid before the first one.
        kept: how many responses are kept for a repeat [K4].
    """

    __slots__ = ("_kept", "closed", "confirmed", "early", "gap_since", "last", "open")

    def __init__(self, last: int, kept: int) -> None:
        self._kept = kept
        self.confirmed = 0
        """The highest rid with a response when the last new request arrived. A repeat confirms no
        response: its client may have sent it before the response was written."""
        self.last = last
        """The highest processed rid; all lower ones are processed, too."""
        self.open: list[OpenRequest] = []
        """Processed and without a response, lowest first. Rids with a response are lower [E5]."""
        self.closed: list[OpenRequest] = []
        """Those with a response, which is kept for a repeat; lowest first."""
        self.early: dict[int, OpenRequest] | None = None
        """Requests above a gap. None without any, as almost always: a dict takes memory."""
        self.gap_since = 0.0
        """The time of the first early request, or of the last one that was processed."""

    def has(self, rid: int) -> bool:
        """Whether a request with this rid arrived before."""
        return rid <= self.last or (self.early is not None and rid in self.early)

    def find(self, rid: int) -> OpenRequest | None:
        """The request with a rid, if it is kept."""
        # Each list has one or two entries.
        for entry in self.open:
            if entry.rid == rid:
                return entry
        for entry in self.closed:
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
        return [handle for entry in self.waiting() for handle in entry.handles]

    @property
    def waiting_since(self) -> float | None:
        """The earliest time of the open requests with a connected client; None without any."""
        return min((entry.at for entry in self.open if entry.handles), default=None)

    @property
    def must_be_empty(self) -> bool:
        """Whether an open request must get an empty response, and so must those before it [E5]."""
        return any(entry.must_be_empty for entry in self.open)

    def disconnect(self, handle: object) -> bool:
        """Remove a closed connection; return whether it waited here."""
        return any(entry.leave(handle) for entry in self.waiting())

    def respond_to_all(self, first: bytes, others: bytes) -> list[Action]:
        """Respond to all waiting requests for the last time: the lowest rid gets `first`."""
        actions: list[Action] = []
        for entry in self.waiting():
            if entry.handles:
                actions += entry.respond(first)
                first = others
        return actions

    def confirm(self) -> None:
        """A new request arrived: as far as known, its client has received all responses."""
        if self.closed:
            self.confirmed = self.closed[-1].rid

    def unconfirmed(self) -> list[Element]:
        """The elements of the responses after which no new request arrived."""
        return [
            element
            for entry in self.closed
            if entry.rid > self.confirmed and entry.response != EMPTY
            for element in xml.parse(entry.response, own=True).elements
        ]

    def defer(self, entry: OpenRequest) -> None:
        """Keep an early request until those before it have arrived [K2]."""
        if self.early is None:
            self.early = {}
            self.gap_since = entry.at
        self.early[entry.rid] = entry

    def next(self, now: float) -> OpenRequest | None:
        """Take the next early request, if it has arrived."""
        if self.early is None:
            return None
        entry = self.early.pop(self.last + 1, None)
        if entry is not None:
            self.gap_since = now
        if not self.early:
            self.early = None
        return entry

    def begin(self, entry: OpenRequest) -> None:
        """Open the next request."""
        self.last = entry.rid
        entry.body = None
        self.open.append(entry)

    def settle(self, entry: OpenRequest, response: bytes, now: float) -> None:
        """Close the lowest open request with its response, which may be repeated [K4]."""
        assert entry is self.open[0]
        del self.open[0]
        entry.handles = ()
        entry.must_be_empty = False
        entry.response = response
        entry.at = now
        self.closed.append(entry)
        if len(self.closed) > self._kept:
            del self.closed[0]
        while len(self.closed) > MAX_CONNECTIONS and self.kept_bytes > MAX_KEPT_BYTES:
            del self.closed[0]

    @property
    def kept_bytes(self) -> int:
        """The bytes of the responses that are kept for a repeat."""
        return sum([len(entry.response) for entry in self.closed])

    @property
    def held_bytes(self) -> int:
        """About how many bytes these and the early requests take."""
        if self.early is None:
            return self.kept_bytes
        bodies = [entry.body for entry in self.early.values() if entry.body is not None]
        return self.kept_bytes + sum(child.weight for body in bodies for child in body.children)

    def settle_empty(self, now: float) -> list[Action]:
        """Close the lowest open request with an empty response, which its connections get."""
        entry = self.open[0]
        actions = entry.respond(EMPTY)
        self.settle(entry, EMPTY, now)
        return actions

    def pause(self, now: float) -> list[Action]:
        """Close all open requests with empty responses. The last one, which asked for the pause, is
        not kept [G10]."""
        actions: list[Action] = []
        while len(self.open) > 1:
            actions += self.settle_empty(now)
        return actions + self.open.pop().respond(EMPTY)

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
        elif self.closed and ack < self.closed[-1].rid:
            missing = next((entry for entry in self.closed if entry.rid == ack + 1), None)
            if missing is not None and now - missing.at >= REPORT_SECONDS:
                time = min(round((now - missing.at) * 1000), MAX_TIME)
                report = attributes_of((("report", missing.rid), ("time", time)))  # [F5]
        while self.closed and self.closed[0].rid <= ack:
            del self.closed[0]
        return report

    def dump(self, now: float) -> dict[str, Any]:
        """The requests with a response, as JSON; a released session has no others."""
        return {
            "last": self.last,
            "answered": [entry.dump(now) for entry in self.closed],
            "heard": self.confirmed,
        }

    def load(self, data: Mapping[str, Any], now: float) -> None:
        """Restore the requests in a dump."""
        self.last = data["last"]
        self.closed = [OpenRequest.load(record, now) for record in data["answered"]]
        self.confirmed = data["heard"]

    def __repr__(self) -> str:
        early = sorted(self.early) if self.early else []
        return f"<Window {self.last} open={[e.rid for e in self.open]} early={early}>"
