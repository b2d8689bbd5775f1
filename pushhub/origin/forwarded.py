"""Which way a request came: the headers by which proxies say whose it is, and its number.

A route whose clients `share_addresses` takes two requests for the same that differ in nothing else.
Here is a header only if no origin tells by it who somebody is, what may be read, or what was asked
for: so neither what a proxy authenticated (`cf-access-…`, `x-amzn-oidc-…`) nor a country, a host or
a scheme. A value that could be anything else than an address or a number counts, too; it would be
read by all in whose name the origin is asked.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pushhub.origin.request import Pairs
    from pushhub.settings.origin import Route

_NAME = re.compile(
    rb"x-forwarded-for|x-real-ip|(?:true|x|x-cluster|fastly)-client-ip|cf-connecting-ip(?:v6)?"
    rb"|x-envoy-external-address|cf-ray|x-request-(?:id|start)|x-correlation-id|traceparent|b3"
    rb"|x-b3-[a-z]+|x-amzn-trace-id|x-cloud-trace-context|uber-trace-id|sentry-trace"
)
_VALUE = re.compile(rb"[0-9A-Za-z.:\[\]_,;=/+ -]{0,512}")
# The hops of `Forwarded` (RFC 7239 §4) say the host and the scheme, too, and those count.
_HOP = re.compile(rb'\b(?:for|by)=(?:"[0-9A-Za-z.:\[\]_-]*"|[0-9A-Za-z._-]*)', re.IGNORECASE)


def strip_forwarding(pairs: Pairs, route: Route) -> Pairs:
    """The headers of a request but for the way it came, unless the route says that they count."""
    counting = {name.encode() for name in (*route.vary, *route.identity)}
    kept = []
    for pair in pairs:
        name = pair[0].lower()
        if name == b"forwarded" and name not in counting:
            kept.append((name, without_hops(pair[1])))
        elif name in counting or not _NAME.fullmatch(name) or not _VALUE.fullmatch(pair[1]):
            kept.append(pair)
    return tuple(kept)


def without_hops(forwarded: bytes) -> bytes:
    """What `Forwarded` says beside the addresses."""
    return _HOP.sub(b"", forwarded)
