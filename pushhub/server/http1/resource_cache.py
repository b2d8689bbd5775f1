"""A cache of parsed requests for shared resources of the origin.

A client that waits for a resource sends the same request again and again, with another tag. So the
parsed request (`SharedRequest` of `origin/shared/table.py`: its resource and its wait) is cached
under all of its bytes but the value of `If-None-Match`. A request that differs in one byte of a
cookie, of `Authorization` or of any other header is parsed in full: the cache never decides which
requests share a resource. Of the connection only one property counts, and only for some requests:
whether its peer is a trusted proxy.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from pushhub.http.etag import parse_tags
from pushhub.origin.shared.condition import Tags
from pushhub.server.http1.request_cache import MAX_HEADERS_BYTES, Generations

if TYPE_CHECKING:
    from pushhub.http.response import Response
    from pushhub.hub.hold import Hold
    from pushhub.origin.shared.condition import WaitCondition
    from pushhub.origin.shared.table import ResourceTable, SharedRequest
    from pushhub.server.http1.head import Head
    from pushhub.server.http1.header_lines import HeaderLines

# A value that no two parsers could read differently; it ends no line. Tags are hashes or numbers.
_TAGS = re.compile(rb"(\r\n[Ii][Ff]-[Nn]one-[Mm]atch: )([\x21-\x7e]{1,256})(?=\r\n)")


class Peer(Protocol):
    """The connection of a request. The address is read only for requests that depend on it."""

    @property
    def client(self) -> str:
        """The address of the client."""


class CachedResource:
    """A parsed request, and the header lines of its responses."""

    __slots__ = ("lines", "shared", "tagged")

    def __init__(self, shared: SharedRequest, lines: HeaderLines, *, tagged: bool) -> None:
        self.shared = shared
        self.lines = lines
        # Whether the key is without the value of `If-None-Match`.
        self.tagged = tagged


class ResourceCache:
    """The cache of one process."""

    __slots__ = ("_memory", "_resources")

    def __init__(self, resources: ResourceTable) -> None:
        self._resources = resources
        self._memory: Generations[CachedResource] = Generations()

    def outcome(self, data: bytes, peer: Peer) -> tuple[Response | Hold, HeaderLines] | None:
        """The response or hold of a complete request of a `peer`, if the request is cached and
        needs no fetch; None: parse it.
        """
        tags = _TAGS.search(data)
        known = self._memory.get(data if tags is None else _without(data, tags))
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
        return None if outcome is None else (outcome, known.lines)

    def learn(self, raw: bytes, head: Head, shared: SharedRequest, lines: HeaderLines) -> None:
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
        self._memory.put(key, CachedResource(shared, lines, tagged=tags is not None))

    def __repr__(self) -> str:
        return f"<ResourceCache {len(self._memory)}>"


def _without(raw: bytes, tags: re.Match[bytes]) -> bytes:
    """A request with a NUL in place of the value of its `If-None-Match`. No cached request has a
    NUL, and one with an empty value has another key. For a client that sends the NUL itself
    `CachedResource.tagged` differs.
    """
    return b"%b\0%b" % (raw[: tags.end(1)], raw[tags.end() :])


@lru_cache(maxsize=1024)
def _condition(value: bytes) -> Tags | None:
    """The condition of an `If-None-Match`: the same object for the same value."""
    tags = parse_tags(value.decode())
    return Tags(tags) if tags else None
