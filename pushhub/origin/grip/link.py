"""The links of an instruct: where they lead, and the requests that follow them.

A link is an origin's word about what pushhub is to ask next, so it must not lead pushhub to anybody
else (CWE-918): only to the origin of its own route, named by that address or by the host that the
client asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from pushhub.http.problem import Problem

if TYPE_CHECKING:
    from pushhub.origin.request import Pairs, ProxiedRequest
    from pushhub.origin.routes import RouteMatch

_PORTS = {"http": 80, "https": 443}

# What belongs to the first request and its answer alone: what a link gives is appended to the body
# that was begun, so it may be neither a part of something nor packed in another way.
_OWN = frozenset(
    {
        b"accept-encoding",
        b"content-length",
        b"content-type",
        b"expect",
        b"if-match",
        b"if-modified-since",
        b"if-none-match",
        b"if-range",
        b"if-unmodified-since",
        b"last-event-id",
        b"range",
        b"transfer-encoding",
    }
)


def target(found: RouteMatch, asked: ProxiedRequest, base: str, uri: str) -> str:
    """Where a link leads: a path and query of the route's own origin.

    Args:
        base: the target that the instruct came from.
        uri: the link, absolute or relative to it.

    Raises:
        Problem: 502, it leads elsewhere.
    """
    try:
        parts = urlsplit(urljoin(found.target + base, uri))
        place = (parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme))
        own = urlsplit(found.target)
        known = (own.scheme, own.hostname, own.port or _PORTS.get(own.scheme))
        host = asked.headers.get("host", "").lower()
        if place != known and not (parts.scheme in _PORTS and host and parts.netloc == host):
            raise ValueError
    except ValueError:
        raise Problem(
            "bad-gateway", "A link of the origin's instruct must not lead to another server."
        ) from None
    path = parts.path or "/"
    return f"{path}?{parts.query}" if parts.query else path


def headers(pairs: Pairs) -> Pairs:
    """The headers of a request that follows a link: the client's, without what was about its own
    request only.
    """
    return tuple(pair for pair in pairs if pair[0].lower() not in _OWN)
