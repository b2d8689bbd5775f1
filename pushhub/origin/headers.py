"""The headers of a request and of its response, as a gateway passes them on (RFC 9110 §7.6)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pushhub.origin.request import Pairs, ProxiedRequest

# RFC 9110 §7.6.1, and the older names with the same meaning.
HOP_BY_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade"}
)
# A sender must not remove a header that frames or routes the message by listing it in Connection:
# two parsers would read the message in two ways.
_PROTECTED = frozenset({b"content-length", b"host"})

ForwardedStyle = Literal["x-forwarded", "forwarded", "both", "none"]

_X_FORWARDED = frozenset({b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"})
_SET_HERE: dict[ForwardedStyle, frozenset[bytes]] = {
    "x-forwarded": _X_FORWARDED,
    "forwarded": frozenset({b"forwarded"}),
    "both": _X_FORWARDED | {b"forwarded"},
    "none": frozenset(),
}

# Headers by which proxies and networks of CDNs name the client, its scheme or its user. An origin
# believes them of its peer, and that is pushhub: so they pass from trusted proxies only. Names of
# nginx's realip module, Rails (`Client-IP`), WebLogic, Cloudflare, Akamai, Fastly, Fly.io, Azure,
# App Engine, DigitalOcean, Envoy; and the schemes that gunicorn, Rails and ASP.NET read.
_STATEMENTS = frozenset(
    {
        *(b"forwarded", b"x-real-ip", b"client-ip", b"x-client-ip", b"true-client-ip"),
        *(b"x-cluster-client-ip", b"proxy-client-ip", b"wl-proxy-client-ip", b"x-remote-ip"),
        *(b"x-remote-addr", b"x-originating-ip", b"x-original-forwarded-for", b"x-proxyuser-ip"),
        *(b"cf-connecting-ip", b"cf-connecting-ipv6", b"cf-pseudo-ipv4", b"fastly-client-ip"),
        *(b"fly-client-ip", b"x-azure-clientip", b"x-azure-socketip", b"x-appengine-user-ip"),
        *(b"do-connecting-ip", b"x-envoy-external-address", b"front-end-https", b"x-scheme"),
        *(b"x-url-scheme",),
    }
)
_STATEMENTS_PREFIX = b"x-forwarded-"


def is_statement(name: bytes) -> bool:
    """Whether a lower-case header is a proxy's statement about its client."""
    return name in _STATEMENTS or name.startswith(_STATEMENTS_PREFIX)


# CGI, WSGI and PHP give `X_Forwarded_For` and `X-Forwarded-For` to an application under one name
# (RFC 3875 §4.1.18). So a name with `_` must not stand for a header that a proxy sets, replaces or
# removes: these, `_STATEMENTS`, and the beginnings in `_PROXY_PREFIXES`.
_PROXY_HEADERS = (
    HOP_BY_HOP
    | _PROTECTED
    | _STATEMENTS
    | {b"via", b"x-original-url", b"x-rewrite-url", b"x-request-id", b"proxy-authorization"}
)
_PROXY_PREFIXES = (b"x-forwarded-", b"x-pushhub-", b"grip-", b"cf-", b"x-amzn-", b"x-envoy-")


def _imitates(name: bytes, removed: frozenset[bytes] = frozenset()) -> bool:
    """Whether a lower-case name is another spelling of a proxy's header, or of a `removed` one."""
    if b"_" not in name:
        return False
    plain = name.replace(b"_", b"-")
    return plain in _PROXY_HEADERS or plain in removed or plain.startswith(_PROXY_PREFIXES)


def end_to_end(pairs: Pairs, *, framed: bool = False) -> Pairs:
    """The end-to-end headers: names, order and values as they were.

    With `framed` Transfer-Encoding stays, for a writer that passes the chunks on.
    """
    dropped = HOP_BY_HOP | (_named(pairs) - _PROTECTED)
    if framed:
        dropped -= {b"transfer-encoding"}
    return tuple(pair for pair in pairs if pair[0].lower() not in dropped)


# An entity tag that pushhub generated (`origin/shared/representation.py`): 16 bytes, and the suffix
# that proxies add to a tag.
_GENERATED_TAG = re.compile(rb'(?:W/)?"ph-[0-9a-f]{32}[a-z-]*"[ \t]*,?[ \t]*')


def to_origin(request: ProxiedRequest, style: ForwardedStyle) -> Pairs:
    """The headers for the origin: the client's, and the forwarding headers of the setting.

    The statements of a trusted proxy about its client pass, and pushhub adds its peer to their
    lists. Those of any other client are removed, unless a proxy in front is known to set them
    (style `none`).
    """
    ours = _SET_HERE[style]
    dropped = HOP_BY_HOP | ours
    kept: list[tuple[bytes, bytes]] = []
    before: dict[bytes, list[bytes]] = {}
    listed = False
    is_believed = request.trusted or style == "none"
    for pair in request.pairs:
        name = pair[0].lower()
        if name == b"if-none-match" and b"ph-" in pair[1]:
            if theirs := _GENERATED_TAG.sub(b"", pair[1]).rstrip(b", \t"):
                kept.append((pair[0], theirs))
        elif name not in dropped:
            if (is_believed or not is_statement(name)) and not _imitates(name):
                kept.append(pair)
        elif name in ours and is_believed:
            before.setdefault(name, []).append(pair[1])
        elif name == b"connection":
            listed = True
    if listed and (named := _named(request.pairs) - HOP_BY_HOP - _PROTECTED):
        kept = [
            pair
            for pair in kept
            if pair[0].lower() not in named and not _imitates(pair[0].lower(), named)
        ]
    if request.http_1_0:
        # HTTP/1.0 has no 100 (Continue) (RFC 9110 §10.1.1).
        kept = [pair for pair in kept if pair[0].lower() != b"expect"]
    kept += _forwarding(request, ours, before)
    return (*kept, *_hop(request))


def _named(pairs: Pairs) -> frozenset[bytes]:
    """The names that Connection lists."""
    return frozenset(
        token.strip(b" \t").lower()
        for name, value in pairs
        if name.lower() == b"connection"
        for token in value.split(b",")
    )


def _hop(request: ProxiedRequest) -> Pairs:
    """The headers of pushhub's own connection: the upgrade, or the readiness for trailers if the
    client accepts them (RFC 9110 §7.8, §10.1.4).
    """
    if request.upgrades:
        return (
            *(p for p in request.pairs if p[0].lower() == b"upgrade"),
            (b"Connection", b"Upgrade"),
        )
    te = request.headers.get("te")
    if te is not None and "trailers" in te.lower() and not request.http_1_0:
        return ((b"TE", b"trailers"), (b"Connection", b"TE"))
    return ()


def _forwarding(
    request: ProxiedRequest, ours: frozenset[bytes], before: dict[bytes, list[bytes]]
) -> list[tuple[bytes, bytes]]:
    """The forwarding headers: the client's address, and the host and scheme that it used."""
    added: list[tuple[bytes, bytes]] = []
    client = request.client.encode()
    host = request.headers.get("host", "")
    if b"x-forwarded-for" in ours:
        addresses = [*before.get(b"x-forwarded-for", ()), client]
        added += [
            (b"X-Forwarded-For", b", ".join(filter(None, addresses))),
            (
                b"X-Forwarded-Proto",
                _requested(request, before, b"x-forwarded-proto", request.scheme),
            ),
            (b"X-Forwarded-Host", _requested(request, before, b"x-forwarded-host", host)),
        ]
    if b"forwarded" in ours:
        added.append(
            (b"Forwarded", b", ".join([*before.get(b"forwarded", ()), _forwarded(request)]))
        )
    return [pair for pair in added if pair[1]]


def _requested(
    request: ProxiedRequest, before: dict[bytes, list[bytes]], name: bytes, received: str
) -> bytes:
    """What a trusted proxy says that its client requested; else what pushhub received."""
    values = before.get(name)
    return values[-1] if values else received.encode("latin-1")


def _forwarded(request: ProxiedRequest) -> bytes:
    """One hop of `Forwarded` (RFC 7239 §4); an IPv6 address needs brackets and quotes (§6)."""
    client = request.client or "unknown"
    node = f'"[{client}]"' if ":" in client else client
    host = request.headers.get("host", "").replace("\\", "\\\\").replace('"', '\\"')
    return f'for={node};host="{host}";proto={request.scheme}'.encode("latin-1")
