"""Compressed requests and answers (XEP-0124 §5, RFC 9110 §8.4)."""

from __future__ import annotations

import zlib

from pushhub.bosh.condition import BindingError, Condition
from pushhub.protocol.xml import MAX_BYTES

# Below that a packet carries it anyway.
LEAST_BYTES = 1400

# zlib's window sizes: +16 reads a gzip header, +32 reads whichever is there.
_GZIP = 16 + zlib.MAX_WBITS
_ANY = 32 + zlib.MAX_WBITS

_IDENTITY = ("", "identity")


def decode(raw: bytes, coding: str) -> bytes:
    """A request's body without its Content-Encoding [D6].

    Raises:
        BindingError: bad-request; it is no gzip or deflate, or too large when it is unpacked.
    """
    coding = coding.strip().lower()
    if coding in _IDENTITY:
        return raw
    if coding not in ("gzip", "x-gzip", "deflate"):
        detail = "A body is sent as it is, or as gzip, or as deflate."
        raise BindingError(Condition.BAD_REQUEST, detail)
    unpacker = zlib.decompressobj(_ANY)
    try:
        # However small a bomb is, no more of it than this is unpacked (CWE-409).
        unpacked = unpacker.decompress(raw, MAX_BYTES + 1)
    except zlib.error:
        raise BindingError(Condition.BAD_REQUEST, f"The body is no {coding}.") from None
    if len(unpacked) > MAX_BYTES or not unpacker.eof:
        raise BindingError(Condition.BAD_REQUEST, f"A body has at most {MAX_BYTES} bytes.")
    return unpacked


def accepts_gzip(header: str) -> bool:
    """Whether an `Accept-Encoding` allows gzip (RFC 9110 §12.5.3)."""
    allowed: dict[str, bool] = {}
    for item in header.lower().split(","):
        coding, _, parameter = item.partition(";")
        name, _, weight = parameter.partition("=")
        try:
            allowed[coding.strip()] = name.strip() != "q" or float(weight) > 0
        except ValueError:
            allowed[coding.strip()] = False
    return allowed.get("gzip", allowed.get("x-gzip", allowed.get("*", False)))


def encode(body: bytes) -> bytes:
    """A body as gzip [A5]; the fastest level, since a chat's XML repeats itself enough for it."""
    packer = zlib.compressobj(1, zlib.DEFLATED, _GZIP)
    return packer.compress(body) + packer.flush()
