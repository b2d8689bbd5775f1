"""Polls that are understood without being parsed again.

A long-poll's client asks again and again, and of what it sends only the cursor changes. So a
request is taken in two pieces. Its first line is what everybody who reads the same channel from the
same position sends: in a broadcast it is the same for all. The rest, its headers, is what this one
client always sends. What a line means is remembered for all, what the headers mean (who that is,
what they may read, how long they would wait) with the connection. A poll of both is the same poll
again.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Generic, TypeVar

from pushhub.http.request import MAX_TARGET_BYTES, Request
from pushhub.http.response import Response

if TYPE_CHECKING:
    from pushhub.api.endpoints import Decision, Endpoints, Match
    from pushhub.log.grant import Grant
    from pushhub.polls.base import Poll
    from pushhub.server.http1.head import Head
    from pushhub.server.http1.header_lines import HeaderLines

# The headers that a reading endpoint reads. `tests/server/http1/test_request_cache.py` checks
# that there are no others.
READ_HEADERS = ("accept", "if-none-match", "last-event-id", "prefer", "wait")

# Two generations of so many of each. A line with its polls takes about 1 KiB, headers at most 2
# KiB.
GENERATION = 4096
MAX_HEADERS_BYTES = 2048
# One byte each; four times a generation, so that few share one.
MARKS = 16384
# Ways of asking (waits, conditions) that one line was seen with.
MAX_WAYS = 64

# Addresses that no two parsers could read differently; others are parsed in full.
_LINE = re.compile(
    rb"GET (/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)"
    rb"(?:\?([A-Za-z0-9._~!$&'()*+,;=:@%/?-]*))? HTTP/1\.1\r\n"
)

V = TypeVar("V")
Asks = tuple[str | None, ...]


class Generations(Generic[V]):
    """A memory of two generations: what was not asked for during a whole one is forgotten.

    What is seen for the first time leaves no more than a mark: much is never seen again, such as a
    cursor that only one reader has. Two may share a mark; then one is remembered a little early.
    """

    __slots__ = ("_marked", "_marks", "_old", "_young")

    def __init__(self) -> None:
        self._young: dict[bytes, V] = {}
        self._old: dict[bytes, V] = {}
        self._marks = bytearray(MARKS)
        self._marked = 0

    def get(self, key: bytes) -> V | None:
        """What is remembered under `key`."""
        found = self._young.get(key)
        if found is None and key in self._old:
            found = self._old.pop(key)
            self._young[key] = found
        return found

    def put(self, key: bytes, value: V) -> None:
        """Remember `value`, if `key` has been seen before."""
        mark = hash(key) % MARKS
        if not self._marks[mark]:
            if self._marked >= GENERATION:
                self._marks = bytearray(MARKS)
                self._marked = 0
            self._marks[mark] = 1
            self._marked += 1
            return
        if len(self._young) >= GENERATION:
            self._old, self._young = self._young, {}
        self._young[key] = value

    def __len__(self) -> int:
        return len(self._young) + len(self._old)


class ClientHeaders:
    """What a client's headers mean, whatever it asks for.

    `raw` is everything after the first line. `asks` are the values of `READ_HEADERS`. `expires` is
    when the grant ends, in seconds since 1970.
    """

    __slots__ = ("allowed", "asks", "expires", "grant", "lines", "raw")

    def __init__(self, raw: bytes, head: Head, grant: Grant, lines: HeaderLines) -> None:
        self.raw = raw
        self.asks = _one_of_a_kind(tuple(map(head.headers.get, READ_HEADERS)))
        self.grant = grant
        self.expires = grant.expires
        self.lines = lines
        # The channel that the grant was last found to allow; most clients read one.
        self.allowed = ""

    def request(self, path: str, query: str) -> Request:
        """A request as a reading endpoint needs it."""
        pairs = zip(READ_HEADERS, self.asks, strict=True)
        headers = {name: value for name, value in pairs if value is not None}
        return Request("GET", path, query, headers)


@lru_cache(maxsize=1024)
def _one_of_a_kind(asks: Asks) -> Asks:
    """The same object for the same way of asking, of which clients have few."""
    return asks


class RequestLine:
    """What a first line means, with each way of asking."""

    __slots__ = ("match", "path", "polls", "query")

    def __init__(self, match: Match, path: str, query: str) -> None:
        self.match = match
        self.path = path
        self.query = query
        self.polls: dict[Asks, Poll] = {}


class RequestCache:
    """The memory of one process."""

    __slots__ = ("_endpoints", "_headers", "_lines")

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints
        self._lines: Generations[RequestLine] = Generations()
        self._headers: Generations[ClientHeaders] = Generations()

    def headers(self, data: bytes) -> ClientHeaders | None:
        """What is known of the headers of a request, complete or not."""
        return self._headers.get(data[data.find(b"\r\n") + 2 :])

    def learn(
        self, raw: bytes, head: Head, match: Match, decision: Decision, lines: HeaderLines
    ) -> ClientHeaders | None:
        """Remember what a request of these bytes came to, if the next of its kind comes to the
        same.
        """
        endpoint = match.endpoint(head.method)
        if (
            decision.poll is None
            or decision.grant is None
            or endpoint is None
            or not endpoint.remembered
        ):
            return None
        if head.method != "GET" or head.http_1_0 or not head.keep or b"ticket=" in raw:
            return None
        end = raw.index(b"\r\n") + 2
        rest = raw[end:]
        if len(rest) > MAX_HEADERS_BYTES:
            return None
        headers = self._headers.get(rest)
        if headers is None:
            headers = ClientHeaders(rest, head, decision.grant, lines)
            self._headers.put(rest, headers)
        headers.allowed = decision.poll.reads[0].channel
        return headers

    def poll(self, line: bytes, headers: ClientHeaders) -> Poll | Response | None:
        """The poll that a first line and known headers are; the refusal that they get; or None:
        parse them.
        """
        known = self._lines.get(line)
        if known is None:
            known = self._read(line)
            if known is None:
                return None
        poll = known.polls.get(headers.asks)
        if poll is not None and poll.reads[0].channel == headers.allowed:
            return poll
        request = headers.request(known.path, known.query)
        decision = self._endpoints.decide_for(request, known.match, headers.grant)
        poll = decision.poll
        if poll is None:
            return decision.outcome if isinstance(decision.outcome, Response) else None
        headers.allowed = poll.reads[0].channel
        if len(known.polls) >= MAX_WAYS:
            known.polls.clear()
        known.polls[headers.asks] = poll
        return poll

    def _read(self, line: bytes) -> RequestLine | None:
        found = _LINE.fullmatch(line)
        if found is None or len(line) > MAX_TARGET_BYTES or b"ticket=" in line:
            return None
        path = found[1].decode()
        match = self._endpoints.match(path)
        if match is None or (endpoint := match.endpoint("GET")) is None or not endpoint.remembered:
            return None
        known = RequestLine(match, path, (found[2] or b"").decode())
        self._lines.put(line, known)
        return known

    def __repr__(self) -> str:
        return f"<Recall {len(self._lines)} lines, {len(self._headers)} headers>"
