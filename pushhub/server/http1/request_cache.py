"""Caches of parsed requests. A client that waits sends nearly the same bytes again and again.

- `PollCache` is for polls of channels. From poll to poll only the cursor changes, so it caches two
  parts of a request. The first line is the same for all clients that read a channel from the same
  position: in a broadcast, for all. Its meaning is cached for the process. The headers are the same
  in all requests of a client. Their meaning (the grant, the granted wait) stays with the connection
  too. A known line with known headers needs no parser.
- `SharedRequestCache` is for shared resources of the origin. From request to request only the tag
  changes, so the parsed request is cached under all bytes but the value of `If-None-Match`. A
  request that differs in one byte of a cookie, of `Authorization` or of any other header is parsed:
  the cache never decides which requests share a resource. Of the connection only one property
  counts, and only for some requests: whether its peer is a trusted proxy.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from pushhub.http.etag import parse_tags
from pushhub.http.request import MAX_TARGET_BYTES, Request
from pushhub.http.response import Response
from pushhub.origin.shared.condition import Tags

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.api.endpoints import Decision, Endpoints, Match
    from pushhub.hub.hold import Hold
    from pushhub.log.grant import Grant
    from pushhub.origin.shared.condition import WaitCondition
    from pushhub.origin.shared.table import ResourceTable, SharedRequest
    from pushhub.polls.base import Poll
    from pushhub.server.http1.head import Head
    from pushhub.server.http1.header_lines import HeaderLines

# The headers that a reading endpoint reads. `tests/server/http1/test_request_cache.py` checks
# that there are no others.
READ_HEADERS = ("accept", "if-none-match", "last-event-id", "prefer", "wait")

# Two generations with at most this number of entries and these bytes. A line with its polls takes
# about 1 KiB, headers at most 2 KiB: usual entries reach the number first, hostile ones the bytes.
GENERATION = 4096
GENERATION_BYTES = 8 * 1024 * 1024
# The sizes in bytes with which entries are counted, beside copies of what a client sent: an entry
# with its objects, a poll of a line, and a header. `test_request_cache.py` measures them.
ENTRY_BYTES = 768
POLL_BYTES = 768
HEADER_BYTES = 192
MAX_HEADERS_BYTES = 2048
# One byte each; four times a generation, so that few keys share a mark.
MARKS = 16384
# Sets of header values (waits, conditions) that are cached with one first line.
MAX_VARIANTS = 64

# URLs that all parsers read alike; others are parsed in full.
_LINE = re.compile(
    rb"GET (/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)"
    rb"(?:\?([A-Za-z0-9._~!$&'()*+,;=:@%/?-]*))? HTTP/1\.1\r\n"
)
# A value that all parsers read alike, and that ends no line. Tags are hashes or numbers.
_TAGS = re.compile(rb"(\r\n[Ii][Ff]-[Nn]one-[Mm]atch: )([\x21-\x7e]{1,256})(?=\r\n)")

V = TypeVar("V")
HeaderValues = tuple[str | None, ...]


class GenerationCache(Generic[V]):
    """A cache of two generations: an entry that is not read during a whole generation is removed.
    `size_of` gives the bytes of an entry. A generation ends with its number or its bytes.

    A key that comes for the first time leaves only a mark, because many keys never come again, such
    as a cursor that only one reader has. Two keys may share a mark; then one is cached a little
    early.
    """

    __slots__ = ("_bytes", "_marked", "_marks", "_old", "_size_of", "_young")

    def __init__(self, size_of: Callable[[bytes, V], int]) -> None:
        self._size_of = size_of
        self._bytes = 0
        self._young: dict[bytes, V] = {}
        self._old: dict[bytes, V] = {}
        self._marks = bytearray(MARKS)
        self._marked = 0

    def get(self, key: bytes) -> V | None:
        """The value under `key`; None if it is not cached."""
        found = self._young.get(key)
        if found is None and key in self._old:
            found = self._old.pop(key)
            self._young[key] = found
            self.grow(self._size_of(key, found))
        return found

    def grow(self, size: int) -> None:
        """Count further bytes of an entry that was just read or put."""
        self._bytes += size
        if self._bytes > GENERATION_BYTES or len(self._young) > GENERATION:
            self._old, self._young, self._bytes = self._young, {}, 0

    def put(self, key: bytes, value: V) -> None:
        """Cache `value`, if `key` has come before."""
        mark = hash(key) % MARKS
        if not self._marks[mark]:
            if self._marked >= GENERATION:
                self._marks = bytearray(MARKS)
                self._marked = 0
            self._marks[mark] = 1
            self._marked += 1
            return
        if key in self._young:
            self._bytes -= self._size_of(key, self._young[key])
        self._young[key] = value
        self.grow(self._size_of(key, value))

    def __len__(self) -> int:
        return len(self._young) + len(self._old)


def raw_size(raw: bytes, value: object) -> int:
    """The bytes of parsed headers: the bytes themselves, and a copy of them in parts."""
    return ENTRY_BYTES + 2 * len(raw) + HEADER_BYTES * raw.count(b"\n")


# Polls of channels


class ClientHeaders:
    """The parsed headers of a client's polls, which do not depend on the first line.

    `raw` is everything after the first line. `values` are those of `READ_HEADERS`.
    `ending_grant` is the grant, if it can end.
    """

    __slots__ = (
        "allowed_channel", "ending_grant", "forwarded", "grant", "lines", "raw", "values",
    )  # fmt: skip

    def __init__(self, raw: bytes, head: Head, grant: Grant, lines: HeaderLines) -> None:
        self.raw = raw
        self.values = _interned(tuple(map(head.headers.get, READ_HEADERS)))
        self.grant = grant
        self.ending_grant = grant if grant.can_end else None
        self.lines = lines
        self.forwarded = head.headers.get("x-forwarded-for")
        # The channel of the last check of the grant; most clients read one channel.
        self.allowed_channel = ""

    def request(self, path: str, query: str) -> Request:
        """A request as a reading endpoint needs it."""
        pairs = zip(READ_HEADERS, self.values, strict=True)
        headers = {name: value for name, value in pairs if value is not None}
        return Request("GET", path, query, headers)


@lru_cache(maxsize=1024)
def _interned(values: HeaderValues) -> HeaderValues:
    """The same object for the same values, of which clients have few."""
    return values


class RequestLine:
    """A parsed first line, and its poll for each set of header values."""

    __slots__ = ("match", "path", "polls", "query")

    def __init__(self, match: Match, path: str, query: str) -> None:
        self.match = match
        self.path = path
        self.query = query
        self.polls: dict[HeaderValues, Poll] = {}


def _poll_size(line: bytes) -> int:
    return POLL_BYTES + 2 * len(line)


def _line_size(line: bytes, known: RequestLine) -> int:
    return ENTRY_BYTES + 2 * len(line) + len(known.polls) * _poll_size(line)


class PollCache:
    """The first lines and headers of polls that a process has parsed."""

    __slots__ = ("_endpoints", "_headers", "_lines")

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints
        self._lines: GenerationCache[RequestLine] = GenerationCache(_line_size)
        self._headers: GenerationCache[ClientHeaders] = GenerationCache(raw_size)

    def headers(self, data: bytes) -> ClientHeaders | None:
        """The cached headers of a request, complete or not."""
        return self._headers.get(data[data.find(b"\r\n") + 2 :])

    def add(
        self, raw: bytes, head: Head, match: Match, decision: Decision, lines: HeaderLines
    ) -> ClientHeaders | None:
        """Cache the headers of a poll, if they mean the same in the next request; else None."""
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
        headers.allowed_channel = decision.poll.reads[0].channel
        return headers

    def poll(self, line: bytes, headers: ClientHeaders) -> Poll | Response | None:
        """The poll of a first line with known headers, or the refusal of it; None: parse it."""
        known = self._lines.get(line)
        if known is None:
            known = self._read(line)
            if known is None:
                return None
        poll = known.polls.get(headers.values)
        if poll is not None and poll.reads[0].channel == headers.allowed_channel:
            return poll
        request = headers.request(known.path, known.query)
        decision = self._endpoints.decide_for(request, known.match, headers.grant)
        poll = decision.poll
        if poll is None:
            return decision.outcome if isinstance(decision.outcome, Response) else None
        headers.allowed_channel = poll.reads[0].channel
        if len(known.polls) >= MAX_VARIANTS:
            self._lines.grow(-len(known.polls) * _poll_size(line))
            known.polls.clear()
        known.polls[headers.values] = poll
        self._lines.grow(_poll_size(line))
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
        return f"<PollCache {len(self._lines)} lines, {len(self._headers)} headers>"


# Requests for shared resources of the origin


class Peer(Protocol):
    """The connection of a request. The address is read only for requests that depend on it."""

    @property
    def client(self) -> str:
        """The address of the client."""


class CachedRequest:
    """A parsed request for a shared resource, and the header lines of its responses."""

    __slots__ = ("forwarded", "lines", "shared", "tagged")

    def __init__(
        self, shared: SharedRequest, head: Head, lines: HeaderLines, *, tagged: bool
    ) -> None:
        self.shared = shared
        self.forwarded = head.headers.get("x-forwarded-for")
        self.lines = lines
        # Whether the key is without the value of `If-None-Match`.
        self.tagged = tagged


class SharedRequestCache:
    """The requests for shared resources that a process has parsed."""

    __slots__ = ("_requests", "_resources")

    def __init__(self, resources: ResourceTable) -> None:
        self._resources = resources
        self._requests: GenerationCache[CachedRequest] = GenerationCache(raw_size)

    def outcome(self, data: bytes, peer: Peer) -> tuple[Response | Hold, CachedRequest] | None:
        """The response or hold of a complete request of a `peer`, if the request is cached and
        needs no fetch; None: parse it.
        """
        tags = _TAGS.search(data)
        known = self._requests.get(data if tags is None else _without(data, tags))
        if known is None or known.tagged is (tags is None):
            return None
        shared = known.shared
        trusted = shared.trusted
        if trusted is not None:
            proxies = self._resources.origin.proxies
            if trusted is not proxies.trusts(peer.client):
                return None
        condition: WaitCondition | None = shared.condition
        if tags is not None:
            condition = _condition(tags[2])
            if condition is None:
                return None
        outcome = self._resources.repeat(shared, condition)
        return None if outcome is None else (outcome, known)

    def add(self, raw: bytes, head: Head, shared: SharedRequest, lines: HeaderLines) -> None:
        """Cache a parsed request under its bytes, if their meaning depends on nothing else."""
        if head.method != "GET" or head.http_1_0 or not head.keep or head.length != 0:
            return
        tags = _TAGS.search(raw)
        key = raw if tags is None else _without(raw, tags)
        if len(key) > MAX_HEADERS_BYTES or not raw.startswith(b"GET /"):
            return
        if tags is not None and head.headers.get("if-none-match") != tags[2].decode():
            # Several `If-None-Match` lines count as one.
            return
        self._requests.put(key, CachedRequest(shared, head, lines, tagged=tags is not None))

    def __repr__(self) -> str:
        return f"<SharedRequestCache {len(self._requests)}>"


def _without(raw: bytes, tags: re.Match[bytes]) -> bytes:
    """A request with a NUL in place of the value of its `If-None-Match`. No cached request has a
    NUL, and one with an empty value has another key. For a client that sends the NUL itself
    `CachedRequest.tagged` differs.
    """
    return b"%b\0%b" % (raw[: tags.end(1)], raw[tags.end() :])


@lru_cache(maxsize=1024)
def _condition(value: bytes) -> Tags | None:
    """The condition of an `If-None-Match`: the same object for the same value."""
    tags = parse_tags(value.decode())
    return Tags(tags) if tags else None
