"""The headers of a request and of its response, as a gateway passes them on (RFC 9110 §7.6)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pushhub.origin.request import Pairs, ProxiedRequest

# RFC 9110 §7.6.1, and the older names that stand for the same.
HOP_BY_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade"}
)
# Whoever lists a header that frames or routes the message would have it read in two ways.
_STAYING = frozenset({b"content-length", b"host"})

Manner = Literal["x-forwarded", "forwarded", "both", "none"]

_X_FORWARDED = frozenset({b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"})
_OURS: dict[Manner, frozenset[bytes]] = {
    "x-forwarded": _X_FORWARDED,
    "forwarded": frozenset({b"forwarded"}),
    "both": _X_FORWARDED | {b"forwarded"},
    "none": frozenset(),
}


def end_to_end(pairs: Pairs, *, framed: bool = False) -> Pairs:
    """The headers that are not for this connection alone: names, order and values as they were.

    With `framed` Transfer-Encoding stays, for who writes the body in chunks too.
    """
    dropped = HOP_BY_HOP | (_named(pairs) - _STAYING)
    if framed:
        dropped -= {b"transfer-encoding"}
    return tuple(pair for pair in pairs if pair[0].lower() not in dropped)


# A validator that we gave where the origin had none (`origin/shared/representation.py`): 16 bytes,
# and what proxies add to a tag.
_OUR_TAG = re.compile(rb'(?:W/)?"ph-[0-9a-f]{32}[a-z-]*"[ \t]*,?[ \t]*')


def to_origin(asked: ProxiedRequest, manner: Manner) -> Pairs:
    """The headers that the origin is sent: the client's, and who the client is.

    What the client says of those before it is kept where it is a list to which we add, and replaced
    where it would speak for us.
    """
    ours = _OURS[manner]
    dropped = HOP_BY_HOP | ours
    kept: list[tuple[bytes, bytes]] = []
    before: dict[bytes, list[bytes]] = {}
    listed = False
    for pair in asked.pairs:
        name = pair[0].lower()
        if name == b"if-none-match" and b"ph-" in pair[1]:
            if theirs := _OUR_TAG.sub(b"", pair[1]).rstrip(b", \t"):
                kept.append((pair[0], theirs))
        elif name not in dropped:
            kept.append(pair)
        elif name in ours:
            before.setdefault(name, []).append(pair[1])
        elif name == b"connection":
            listed = True
    if listed and (named := _named(asked.pairs) - HOP_BY_HOP - _STAYING):
        kept = [pair for pair in kept if pair[0].lower() not in named]
    if asked.http_1_0:
        # It cannot be told to continue (RFC 9110 §10.1.1).
        kept = [pair for pair in kept if pair[0].lower() != b"expect"]
    kept += _forwarding(asked, ours, before)
    return (*kept, *_hop(asked))


def _named(pairs: Pairs) -> frozenset[bytes]:
    """The names that Connection lists."""
    return frozenset(
        token.strip(b" \t").lower()
        for name, value in pairs
        if name.lower() == b"connection"
        for token in value.split(b",")
    )


def _hop(asked: ProxiedRequest) -> Pairs:
    """What we say for our own connection: that it is to be upgraded, or may bring trailers, which
    the client must want (RFC 9110 §7.8, §10.1.4).
    """
    if asked.upgrades:
        return (
            *(p for p in asked.pairs if p[0].lower() == b"upgrade"),
            (b"Connection", b"Upgrade"),
        )
    te = asked.headers.get("te")
    if te is not None and "trailers" in te.lower() and not asked.http_1_0:
        return ((b"TE", b"trailers"), (b"Connection", b"TE"))
    return ()


def _forwarding(
    asked: ProxiedRequest, ours: frozenset[bytes], before: dict[bytes, list[bytes]]
) -> list[tuple[bytes, bytes]]:
    """Who the client is, and what it asked."""
    added: list[tuple[bytes, bytes]] = []
    client = asked.client.encode()
    host = asked.headers.get("host", "")
    if b"x-forwarded-for" in ours:
        list_ = [*before.get(b"x-forwarded-for", ()), client]
        added += [
            (b"X-Forwarded-For", b", ".join(filter(None, list_))),
            (b"X-Forwarded-Proto", _said(asked, before, b"x-forwarded-proto", asked.scheme)),
            (b"X-Forwarded-Host", _said(asked, before, b"x-forwarded-host", host)),
        ]
    if b"forwarded" in ours:
        added.append((b"Forwarded", b", ".join([*before.get(b"forwarded", ()), _forwarded(asked)])))
    return [pair for pair in added if pair[1]]


def _said(
    asked: ProxiedRequest, before: dict[bytes, list[bytes]], name: bytes, else_: str
) -> bytes:
    """What a proxy of ours says that its client asked for; else what we see."""
    said = before.get(name) if asked.trusted else None
    return said[-1] if said else else_.encode("latin-1")


def _forwarded(asked: ProxiedRequest) -> bytes:
    """One hop of `Forwarded` (RFC 7239 §4); an IPv6 address needs brackets and quotes (§6)."""
    client = asked.client or "unknown"
    node = f'"[{client}]"' if ":" in client else client
    host = asked.headers.get("host", "").replace("\\", "\\\\").replace('"', '\\"')
    return f'for={node};host="{host}";proto={asked.scheme}'.encode("latin-1")
