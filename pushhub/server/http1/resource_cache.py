"""Requests for shared resources of the origin that are understood without being parsed again.

Who waits for a resource asks again and again, and of what it sends only the tag changes. So what a
request came to (`origin/shared/table.py`: its resource, and how long it would wait) is remembered
under all of its bytes but the value of `If-None-Match`. One byte of a cookie, of `Authorization` or
of any other header more or less, and it is parsed in full: nothing here decides who shares what.
Of the connection it only matters whether a trusted proxy has it, and only to some (`Meaning`).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from pushhub.http.etag import parse_tags
from pushhub.origin.shared.condition import Tags
from pushhub.server.http1.request_cache import MAX_HEADERS_BYTES, Generations

if TYPE_CHECKING:
    from pushhub.http.response import Response
    from pushhub.hub.hold import Hold
    from pushhub.origin.shared.condition import WaitCondition
    from pushhub.origin.shared.table import Meaning, ResourceTable
    from pushhub.server.http1.head import Head
    from pushhub.server.http1.header_lines import HeaderLines
    from pushhub.server.http1.interfaces import ClientConnection

# A value that no two parsers could read differently; it ends no line. Tags are hashes or numbers.
_TAGS = re.compile(rb"(\r\n[Ii][Ff]-[Nn]one-[Mm]atch: )([\x21-\x7e]{1,256})(?=\r\n)")


class CachedResource:
    """What a request means, and the header lines that go with its answers."""

    __slots__ = ("lines", "meaning", "tagged")

    def __init__(self, meaning: Meaning, lines: HeaderLines, *, tagged: bool) -> None:
        self.meaning = meaning
        self.lines = lines
        # Whether the value of its `If-None-Match` was taken out.
        self.tagged = tagged


class ResourceCache:
    """The memory of one process."""

    __slots__ = ("_memory", "_sharing")

    def __init__(self, sharing: ResourceTable) -> None:
        self._sharing = sharing
        self._memory: Generations[CachedResource] = Generations()

    def outcome(
        self, data: bytes, connection: ClientConnection
    ) -> tuple[Response | Hold, HeaderLines] | None:
        """The outcome of a request, if it is whole, its like was seen before and it needs no fetch;
        None: parse it.
        """
        tags = _TAGS.search(data)
        known = self._memory.get(data if tags is None else _without(data, tags))
        if known is None or known.tagged is (tags is None):
            return None
        trusted = known.meaning.trusted
        if trusted is not None and trusted is not self._sharing.origin.proxies.trusts(
            connection.client
        ):
            return None
        condition: WaitCondition | None = known.meaning.condition
        if tags is not None:
            condition = _condition(tags[2])
            if condition is None:
                return None
        outcome = self._sharing.again(known.meaning, condition)
        return None if outcome is None else (outcome, known.lines)

    def learn(self, raw: bytes, head: Head, meaning: Meaning, lines: HeaderLines) -> None:
        """Remember what a request of these bytes means, if the next of its kind means the same."""
        if head.method != "GET" or head.http_1_0 or not head.keep or head.length != 0:
            return
        tags = _TAGS.search(raw)
        key = raw if tags is None else _without(raw, tags)
        if len(key) > MAX_HEADERS_BYTES or not raw.startswith(b"GET /"):
            return
        if tags is not None and head.headers.get("if-none-match") != tags[2].decode():
            # There are two of them, which count as one.
            return
        self._memory.put(key, CachedResource(meaning, lines, tagged=tags is not None))

    def __repr__(self) -> str:
        return f"<Repeats {len(self._memory)}>"


def _without(raw: bytes, tags: re.Match[bytes]) -> bytes:
    """A request without the value of its `If-None-Match`. In its place is a NUL, which no request
    that was learned has: one with the name and no value is another. Who sends the NUL itself sends
    these bytes and no tag, which `CachedResource.tagged` tells.
    """
    return b"%b\0%b" % (raw[: tags.end(1)], raw[tags.end() :])


@lru_cache(maxsize=1024)
def _condition(value: bytes) -> Tags | None:
    """What a client has by its `If-None-Match`: the same object for the same value."""
    tags = parse_tags(value.decode())
    return Tags(tags) if tags else None
