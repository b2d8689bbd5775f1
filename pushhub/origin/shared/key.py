"""The identity of a shared resource: same URL, same headers, same user.

GETs that opt in are grouped by URL and by all headers except a fixed ignore list (`_IGNORED`). The
shared fetch sends only those headers. So no client can add a header to a fetch whose response
others read (cache poisoning, CWE-349), and no client reads a response to the credentials of
another one. `Authorization` and `Cookie` are part of the identity, unless the route says that its
resources are the same for all users.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from operator import itemgetter
from typing import TYPE_CHECKING

from pushhub.http.accept import accepted_codings
from pushhub.origin.headers import is_statement
from pushhub.origin.shared.request_body import key_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pushhub.origin.request import ProxiedRequest
    from pushhub.settings.route import Route

# Clients cannot name channels with this prefix.
CHANNEL_PREFIX = "$origin:"

# Codings that origins use; with any other the body comes as it is.
_CODINGS = ("br", "deflate", "gzip", "zstd")

# A response may vary by these: `Accept-Encoding` is part of every key, and the fetch has none of
# the others.
_HANDLED = frozenset({"accept-encoding", "prefer", "wait", "if-none-match"})

# Headers that are no part of the identity, because they do not describe the resource:
_IGNORED = re.compile(
    # the client's own: conditions, a range, preferences;
    r"if-.*|cache-control|pragma|range|prefer|wait|accept-encoding|expect|content-type|max-forwards"
    # headers of one connection (RFC 9110 §7.6.1), and Host, which is part of every key;
    r"|host|keep-alive|proxy-connection|te|transfer-encoding|upgrade"
    # the software, the address and the path of a request, and its id. They differ with each
    # client; a `Vary` that names one makes it count nevertheless.
    r"|user-agent|referer|from|dnt|save-data|priority|upgrade-insecure-requests|sec-.*"
    r"|via|forwarded|x-forwarded-for|x-real-ip|(?:true|x|x-cluster|fastly)-client-ip|cdn-loop|cf-.*"
    r"|x-request-(?:id|start)|x-correlation-id|traceparent|tracestate|baggage|b3|sentry-trace"
    r"|uber-trace-id|newrelic|elastic-apm-traceparent|x-cloud-trace-context"
    r"|x-(?:b3|amzn|datadog|envoy)-.*"
)

# The identity of the user, where a route names no other.
_CREDENTIALS = frozenset({"authorization", "cookie"})

# The usual values of `Connection`; they name no header.
_USUAL = frozenset({"", "close", "keep-alive"})


def counts(name: str, route: Route) -> bool:
    """Whether a header of this lower-case name is part of a resource's identity."""
    if name in route.vary or name in route.identity_headers:
        return True
    return name not in _CREDENTIALS and _IGNORED.fullmatch(name) is None


class Key:
    """The identity of a resource. Equal keys name the same resource, on every node.

    `names` are the headers that are part of it, and `channel` is derived from their values.
    `cookies` is the value of `Cookie` that counts: where the route names cookies, those alone.
    """

    __slots__ = (
        *("body", "channel", "codings", "cookies", "method", "names", "path", "personal"),
        *("query", "target", "trusted"),
    )

    def __init__(
        self, request: ProxiedRequest, more: Iterable[str] = (), body: bytes | None = None
    ) -> None:
        """The key of a request whose wait is parsed. `more` are header names that the resource is
        known to vary by, in addition to the route's. `body` is that of a request that is no GET.
        """
        self.method = request.method
        self.body = body
        route = request.match.route
        self.target = request.match.target
        self.path = request.path
        self.query = request.wait_request.query
        headers = request.headers
        self.codings = codings(headers.get("accept-encoding", ""))
        # `Connection` may name headers, which the origin does not receive then.
        own = {name for name in headers if counts(name, route)} - {"connection"}
        if body is not None:
            # Bodies with the same meaning have different lengths.
            own.discard("content-length")
        if headers.get("connection", "").lower() not in _USUAL:
            own.add("connection")
        self.names = tuple(sorted({*route.vary, *route.identity_headers, *more, *own}))
        # Whether the request names its user.
        self.cookies = named_cookies(headers.get("cookie", ""), route.identity_cookies)
        self.personal = any(
            self.cookies if name == "cookie" else headers.get(name)
            for name in route.identity_headers
        )
        # Whether a trusted proxy sent the request; None if that makes no difference.
        is_stated = any(name in headers and is_statement(name.encode()) for name in self.names)
        self.trusted = request.trusted if is_stated else None
        hash = blake2b(digest_size=16)
        values = (
            self.cookies if name == "cookie" else headers.get(name, "") for name in self.names
        )
        trusted = ("trusted",) if self.trusted else ()
        parts = (self.url, headers.get("host", ""), self.codings, *trusted, *self.names, *values)
        if self.method != "GET":
            parts = (*parts, "method", self.method)
        if body is not None:
            hash.update(blake2b(key_of(body, headers.get("content-type", ""))).digest())
        for part in parts:
            encoded = part.encode("utf-8", "surrogateescape")
            # With its length, so that no two lists of parts give the same bytes.
            hash.update(b"%d:%b" % (len(encoded), encoded))
        self.channel = CHANNEL_PREFIX + hash.hexdigest()

    @property
    def url(self) -> str:
        """The URL at the origin."""
        return self.target + self.path + (f"?{self.query}" if self.query else "")

    @property
    def address(self) -> tuple[str, str]:
        """The URL, without the headers."""
        return (self.target + self.path, self.query)

    def __repr__(self) -> str:
        return f"<Key {self.url} {self.channel}>"


def named_cookies(header: str, names: frozenset[str]) -> str:
    """The cookies of these names in a `Cookie` header, in a fixed order; all of them without
    names. Of several cookies with one name all count: origins differ in which they read.
    """
    if not names or not header:
        return header
    pairs = (part.strip(" \t").partition("=") for part in header.split(";"))
    kept = [(name.rstrip(" \t"), f"{name}={value}") for name, equals, value in pairs if equals]
    # The order of cookies with different names has no meaning (RFC 6265 §5.4).
    return "; ".join(text for name, text in sorted(kept, key=itemgetter(0)) if name in names)


def codings(accept: str) -> str:
    """`Accept-Encoding` in one of its few meanings: the known codings, in one order."""
    return ", ".join(accepted_codings(accept, _CODINGS))


def vary_of(header: str) -> frozenset[str] | None:
    """The header names that a response varies by, without those that every key has; None for `*`,
    which cannot be shared (RFC 9110 §12.5.5).
    """
    names = {name.strip().lower() for name in header.split(",")} - {""}
    return None if "*" in names else frozenset(names - _HANDLED)
