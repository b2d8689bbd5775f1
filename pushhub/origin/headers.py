"""The headers of a request and of its response, as a gateway passes them on (RFC 9110 §7.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pushhub.origin.asked import Asked, Pairs

# RFC 9110 §7.6.1, and the older names that stand for the same.
HOP_BY_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade"}
)

Manner = Literal["x-forwarded", "forwarded", "both", "none"]


def end_to_end(pairs: Pairs, *, framed: bool = False) -> Pairs:
    """The headers that are not for this connection alone: names, order and values as they were.

    With `framed` Transfer-Encoding stays, for who writes the body in chunks too.
    """
    named = {
        token.strip().lower()
        for name, value in pairs
        if name.lower() == b"connection"
        for token in value.split(b",")
    }
    # Whoever lists a header that frames or routes the message would have it read in two ways.
    dropped = HOP_BY_HOP | (named - {b"content-length", b"host"})
    if framed:
        dropped -= {b"transfer-encoding"}
    return tuple(pair for pair in pairs if pair[0].lower() not in dropped)


def to_origin(asked: Asked, manner: Manner) -> Pairs:
    """The headers that the origin is sent: the client's, and who the client is."""
    # The front has answered an Expect by itself (RFC 9110 §10.1.1).
    pairs = tuple(p for p in end_to_end(asked.pairs) if p[0].lower() != b"expect")
    added: list[tuple[bytes, bytes]] = []
    if manner in ("x-forwarded", "both"):
        pairs, before = _take(pairs, b"x-forwarded-for")
        client = asked.client.encode()
        pairs, _ = _take(pairs, b"x-forwarded-proto")
        pairs, _ = _take(pairs, b"x-forwarded-host")
        added += [
            (b"X-Forwarded-For", b", ".join([*before, client]) if client else b", ".join(before)),
            (b"X-Forwarded-Proto", asked.scheme.encode()),
            (b"X-Forwarded-Host", asked.headers.get("host", "").encode("latin-1")),
        ]
    if manner in ("forwarded", "both"):
        pairs, before = _take(pairs, b"forwarded")
        added.append((b"Forwarded", b", ".join([*before, _forwarded(asked)])))
    return (*pairs, *((name, value) for name, value in added if value))


def _take(pairs: Pairs, wanted: bytes) -> tuple[Pairs, list[bytes]]:
    """The headers without one of them, and the values that it had."""
    return (
        tuple(pair for pair in pairs if pair[0].lower() != wanted),
        [value for name, value in pairs if name.lower() == wanted],
    )


def _forwarded(asked: Asked) -> bytes:
    """One hop of `Forwarded` (RFC 7239 §4); an IPv6 address needs brackets and quotes (§6)."""
    client = asked.client or "unknown"
    node = f'"[{client}]"' if ":" in client else client
    host = asked.headers.get("host", "").replace("\\", "\\\\").replace('"', '\\"')
    return f'for={node};host="{host}";proto={asked.scheme}'.encode("latin-1")
