"""Which requests are for the same resource: same URL, same varying headers, same person.

What one person is given, no other gets: `Authorization` and `Cookie` are part of the key, unless
the route says that its resources are the same for everybody.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import TYPE_CHECKING

from pushhub.origin.wish import without_wish

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pushhub.origin.asked import Asked
    from pushhub.origin.routes import Found

# Pushhub's own channels are out of everybody's reach.
CHANNEL_PREFIX = "$origin:"

# Codings that origins know; in any other the body comes as it is.
_CODINGS = ("br", "deflate", "gzip", "zstd")
_CODING = re.compile(r"\s*([a-z0-9*-]+)\s*(?:;\s*q\s*=\s*([01](?:\.\d{0,3})?))?\s*", re.IGNORECASE)

# What a response may vary by without our minding: `Accept-Encoding` is in every key, the wish is
# taken off, and `Origin` is added by `vary_of` where it is needed.
_OURS = frozenset({"accept-encoding", "prefer", "wait", "if-none-match"})


class Key:
    """A resource's identity. Equal ones are the same resource, on every node."""

    __slots__ = ("channel", "codings", "names", "path", "query", "target")

    def __init__(self, found: Found, asked: Asked, more: Iterable[str] = ()) -> None:
        """`more` are header names that the resource is known to vary by, beside the route's."""
        route = found.route
        self.target = found.target
        self.path = asked.path
        self.query = without_wish(route, asked.query)
        self.codings = codings(asked.headers.get("accept-encoding", ""))
        self.names = tuple(sorted({*route.vary, *route.identity, *more}))
        hash = blake2b(digest_size=16)
        values = (asked.headers.get(name, "") for name in self.names)
        parts = (self.url, asked.headers.get("host", ""), self.codings, *self.names, *values)
        for part in parts:
            encoded = part.encode("utf-8", "surrogateescape")
            # With its length, so that no two lists of parts give the same bytes.
            hash.update(b"%d:%b" % (len(encoded), encoded))
        self.channel = CHANNEL_PREFIX + hash.hexdigest()

    @property
    def url(self) -> str:
        """What is asked of the origin."""
        return self.target + self.path + (f"?{self.query}" if self.query else "")

    @property
    def address(self) -> tuple[str, str]:
        """The URL without what else makes the key."""
        return (self.target + self.path, self.query)

    def __repr__(self) -> str:
        return f"<Key {self.url} {self.channel}>"


def codings(accept: str) -> str:
    """`Accept-Encoding` in one of its few meanings: the known codings, in one order."""
    accepted = set()
    for part in accept.split(",")[:32]:
        if (found := _CODING.fullmatch(part)) and float(found[2] or "1") > 0:
            accepted.add(found[1].lower())
    return ", ".join(name for name in _CODINGS if name in accepted)


def vary_of(header: str) -> frozenset[str] | None:
    """The header names that a response varies by, without those that every key has; None for `*`,
    which nobody can share (RFC 9110 §12.5.5).
    """
    names = {name.strip().lower() for name in header.split(",")} - {""}
    return None if "*" in names else frozenset(names - _OURS)
