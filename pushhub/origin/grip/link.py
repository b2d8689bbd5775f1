"""The links of an instruct: their targets, and the headers of the requests that follow them.

An origin decides by a link which URL pushhub requests next. So a link may lead only to the origin
of its own route (CWE-918), named by that address or by the host of the client's request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from pushhub.http.problem import Problem

if TYPE_CHECKING:
    from pushhub.origin.request import Pairs, ProxiedRequest

_PORTS = {"http": 80, "https": 443}

# Headers of the first request alone. The response of a link is appended to the body that was begun,
# so it may be neither a range nor in another content coding.
_FIRST_ONLY = frozenset(
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


def link_target(request: ProxiedRequest, base: str, uri: str) -> str:
    """The target of a link: a path and query of the route's own origin.

    Args:
        base: the target of the request whose response has the instruct.
        uri: the link, absolute or relative to it.

    Raises:
        Problem: 502, the link leads to another server.
    """
    try:
        parts = urlsplit(urljoin(request.match.target + base, uri))
        server = (parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme))
        own = urlsplit(request.match.target)
        own_server = (own.scheme, own.hostname, own.port or _PORTS.get(own.scheme))
        host = request.headers.get("host", "").lower()
        if server != own_server and not (parts.scheme in _PORTS and host and parts.netloc == host):
            raise ValueError
    except ValueError:
        raise Problem(
            "bad-gateway", "A link of the origin's instruct must not lead to another server."
        ) from None
    path = parts.path or "/"
    return f"{path}?{parts.query}" if parts.query else path


def link_headers(pairs: Pairs) -> Pairs:
    """The headers of a request that follows a link: the client's, without those that concern its
    first request alone.
    """
    return tuple(pair for pair in pairs if pair[0].lower() not in _FIRST_ONLY)
