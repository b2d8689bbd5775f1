"""Compressed requests and responses (XEP-0124 §5, RFC 9110 §8.4)."""

from __future__ import annotations

import zlib

from pushhub.bosh.condition import BindingError, BoshCondition
from pushhub.xml import MAX_BYTES

# A smaller body fits into one packet without compression.
MIN_BYTES = 1400

# zlib's window sizes: +16 for a gzip header, +32 for a gzip or zlib header.
_GZIP = 16 + zlib.MAX_WBITS
_ANY = 32 + zlib.MAX_WBITS

_COMPRESSED = frozenset({"gzip", "x-gzip", "deflate"})


def decode(raw: bytes, coding: str) -> bytes:
    """A request's body without its Content-Encoding [D6].

    COMPAT: an unknown coding is ignored, as in Prosody. libpurple (Pidgin, Finch, Adium) labels
    every plain body `text/xml; charset=utf-8`. A body with an unknown compression is not XML, and
    the parser refuses it.

    Raises:
        BindingError: bad-request; the body is no gzip or deflate, or too large when decompressed.
    """
    coding = coding.strip().lower()
    if coding not in _COMPRESSED:
        return raw
    decompressor = zlib.decompressobj(_ANY)
    try:
        # A decompression bomb yields no more than this (CWE-409).
        data = decompressor.decompress(raw, MAX_BYTES + 1)
    except zlib.error:
        raise BindingError(BoshCondition.BAD_REQUEST, f"The body is no {coding}.") from None
    if len(data) > MAX_BYTES or not decompressor.eof:
        raise BindingError(BoshCondition.BAD_REQUEST, f"A body has at most {MAX_BYTES} bytes.")
    return data


def encode(body: bytes) -> bytes:
    """A body as gzip [A5], at the fastest level: the XML of a chat is repetitive enough."""
    packer = zlib.compressobj(1, zlib.DEFLATED, _GZIP)
    return packer.compress(body) + packer.flush()
