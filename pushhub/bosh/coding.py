"""Compressed requests and answers (XEP-0124 §5, RFC 9110 §8.4)."""

from __future__ import annotations

import zlib

from pushhub.bosh.condition import BindingError, BoshCondition
from pushhub.xml import MAX_BYTES

# Below that a packet carries it anyway.
LEAST_BYTES = 1400

# zlib's window sizes: +16 reads a gzip header, +32 reads whichever is there.
_GZIP = 16 + zlib.MAX_WBITS
_ANY = 32 + zlib.MAX_WBITS

_PACKED = frozenset({"gzip", "x-gzip", "deflate"})


def decode(raw: bytes, coding: str) -> bytes:
    """A request's body without its Content-Encoding [D6].

    COMPAT: a coding with another name is ignored, as Prosody does. libpurple (Pidgin, Finch, Adium)
    labels every plain body `text/xml; charset=utf-8`. A body that is really packed
    in an unknown way is not XML, and the parser refuses it.

    Raises:
        BindingError: bad-request; the body is no gzip or deflate, or too large when unpacked.
    """
    coding = coding.strip().lower()
    if coding not in _PACKED:
        return raw
    unpacker = zlib.decompressobj(_ANY)
    try:
        # However small a bomb is, no more of it than this is unpacked (CWE-409).
        unpacked = unpacker.decompress(raw, MAX_BYTES + 1)
    except zlib.error:
        raise BindingError(BoshCondition.BAD_REQUEST, f"The body is no {coding}.") from None
    if len(unpacked) > MAX_BYTES or not unpacker.eof:
        raise BindingError(BoshCondition.BAD_REQUEST, f"A body has at most {MAX_BYTES} bytes.")
    return unpacked


def encode(body: bytes) -> bytes:
    """A body as gzip [A5]; the fastest level, since a chat's XML repeats itself enough for it."""
    packer = zlib.compressobj(1, zlib.DEFLATED, _GZIP)
    return packer.compress(body) + packer.flush()
