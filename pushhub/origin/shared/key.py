"""Which requests are for the same resource: same URL, same headers, same person.

A look is made for all who share its key, so it is sent nothing else of the request that caused it:
who could slip a header into a look that others do not send would have them read the answer to it
(cache poisoning, CWE-349), and a credential that is not in the key would have them read what is not
theirs. So every header counts, and is sent, but for those that say nothing of the resource
(`_NOISE`), which are not. `Authorization` and `Cookie` count unless the route says that its
resources are the same for everybody.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import TYPE_CHECKING

from pushhub.http.accept import accepted_codings
from pushhub.origin.shared.wait_request import without_wait

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pushhub.origin.request import ProxiedRequest
    from pushhub.origin.routes import RouteMatch
    from pushhub.settings.origin import Route

# Pushhub's own channels are out of everybody's reach.
CHANNEL_PREFIX = "$origin:"

# Codings that origins know; in any other the body comes as it is.
_CODINGS = ("br", "deflate", "gzip", "zstd")

# What a response may vary by without our minding: `Accept-Encoding` is in every key, the wish is
# taken off.
_OURS = frozenset({"accept-encoding", "prefer", "wait", "if-none-match"})

# What says nothing of the resource:
_NOISE = re.compile(
    # what one client said for itself, its conditions, a part, a wish;
    r"if-.*|cache-control|pragma|range|prefer|wait|accept-encoding|expect|content-type|max-forwards"
    # what is for one connection (RFC 9110 §7.6.1), and the host, which is in every key;
    r"|host|keep-alive|proxy-connection|te|transfer-encoding|upgrade"
    # of which software a request is, from whom and which way, and its number. It is another with
    # each client; where a `Vary` names it, it counts all the same.
    r"|user-agent|referer|from|dnt|save-data|priority|upgrade-insecure-requests|sec-.*"
    r"|via|forwarded|x-forwarded-for|x-real-ip|(?:true|x|x-cluster|fastly)-client-ip|cdn-loop|cf-.*"
    r"|x-request-(?:id|start)|x-correlation-id|traceparent|tracestate|baggage|b3|sentry-trace"
    r"|uber-trace-id|newrelic|elastic-apm-traceparent|x-cloud-trace-context"
    r"|x-(?:b3|amzn|datadog|envoy)-.*"
)

# What a proxy says of what its client asked for; the origin is told it if the proxy is ours.
_SAID = frozenset({"x-forwarded-host", "x-forwarded-proto"})

# Who asks, wherever a route says nothing of it.
_CREDENTIALS = frozenset({"authorization", "cookie"})

# What clients say of their connection; it names no header.
_USUAL = frozenset({"", "close", "keep-alive"})


def counts(name: str, route: Route) -> bool:
    """Whether a header of this lower-case name makes another resource."""
    if name in route.vary or name in route.identity:
        return True
    return name not in _CREDENTIALS and _NOISE.fullmatch(name) is None


class Key:
    """A resource's identity. Equal ones are the same resource, on every node."""

    __slots__ = ("channel", "codings", "names", "path", "personal", "query", "target", "trusted")

    def __init__(self, found: RouteMatch, asked: ProxiedRequest, more: Iterable[str] = ()) -> None:
        """`more` are header names that the resource is known to vary by, beside the route's."""
        route = found.route
        self.target = found.target
        self.path = asked.path
        self.query = without_wait(route, asked.query)
        self.codings = codings(asked.headers.get("accept-encoding", ""))
        # `Connection` may name headers, which are then not sent.
        own = {name for name in asked.headers if counts(name, route)} - {"connection"}
        if asked.headers.get("connection", "").lower() not in _USUAL:
            own.add("connection")
        self.names = tuple(sorted({*route.vary, *route.identity, *more, *own}))
        # Whether it says who asks.
        self.personal = any(asked.headers.get(name) for name in route.identity)
        # Whether a trusted proxy asks; None where the origin is told the same by anybody.
        self.trusted = None if _SAID.isdisjoint(own) else asked.trusted
        hash = blake2b(digest_size=16)
        values = (asked.headers.get(name, "") for name in self.names)
        who = ("trusted",) if self.trusted else ()
        parts = (self.url, asked.headers.get("host", ""), self.codings, *who, *self.names, *values)
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
    return ", ".join(accepted_codings(accept, _CODINGS))


def vary_of(header: str) -> frozenset[str] | None:
    """The header names that a response varies by, without those that every key has; None for `*`,
    which nobody can share (RFC 9110 §12.5.5).
    """
    names = {name.strip().lower() for name in header.split(",")} - {""}
    return None if "*" in names else frozenset(names - _OURS)
