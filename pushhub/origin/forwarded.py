"""The forwarding headers of a request: client addresses and trace ids that proxies add.

On a route with `share_addresses` two requests are identical if they differ in these headers only.
The list has no header by which an origin identifies a user, grants access, or chooses what to
return: so neither a user that a proxy authenticated (`cf-access-…`, `x-amzn-oidc-…`) nor a country,
a host or a scheme. A value that could be anything else than an address or an id makes a request
different, too: the origin's response to it would reach all clients that share the request.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pushhub.origin.request import Pairs
    from pushhub.settings.route import Route

_NAME = re.compile(
    rb"x-forwarded-for|x-real-ip|(?:true|x|x-cluster|fastly)-client-ip|cf-connecting-ip(?:v6)?"
    rb"|x-envoy-external-address|cf-ray|x-request-(?:id|start)|x-correlation-id|traceparent|b3"
    rb"|x-b3-[a-z]+|x-amzn-trace-id|x-cloud-trace-context|uber-trace-id|sentry-trace"
)
_VALUE = re.compile(rb"[0-9A-Za-z.:\[\]_,;=/+ -]{0,512}")
# The hops of `Forwarded` (RFC 7239 §4) also name the host and the scheme, and those count.
_HOP = re.compile(rb'\b(?:for|by)=(?:"[0-9A-Za-z.:\[\]_-]*"|[0-9A-Za-z._-]*)', re.IGNORECASE)


def strip_forwarding(pairs: Pairs, route: Route) -> Pairs:
    """The headers of a request without the forwarding headers, except those that the route names in
    `vary` or `identity`.
    """
    significant = {name.encode() for name in (*route.vary, *route.identity_headers)}
    kept = []
    for pair in pairs:
        name = pair[0].lower()
        if name == b"forwarded" and name not in significant:
            kept.append((name, without_hops(pair[1])))
        elif name in significant or not _NAME.fullmatch(name) or not _VALUE.fullmatch(pair[1]):
            kept.append(pair)
    return tuple(kept)


def without_hops(forwarded: bytes) -> bytes:
    """A `Forwarded` header without the addresses."""
    return _HOP.sub(b"", forwarded)
