"""Request bodies that arrive compressed (RFC 9110 §8.4), unpacked within a bound."""

from __future__ import annotations

import zlib

from pushhub.http.accept import elements
from pushhub.http.body import too_large
from pushhub.http.problem import Problem

# What a 415 names (RFC 9110 §15.5.16): what the standard library unpacks.
ACCEPTED = b"gzip, deflate"

_GZIP = ("gzip", "x-gzip")
_DEFLATE = "deflate"

# zlib's window sizes: +16 reads a gzip header, a negative one no header at all.
_WITH_GZIP = 16 + zlib.MAX_WBITS
_WITHOUT = -zlib.MAX_WBITS

# A client applies one coding, a gateway may apply another one.
MAX_CODINGS = 2
# A gzip file has one member; parallel compressors write some, and empty ones cost time (CWE-409).
MAX_MEMBERS = 64


def decoded(body: bytes, header: str, limit: int) -> bytes:
    """A body without the codings that its `Content-Encoding` header names.

    Raises:
        Problem: 415, an unknown coding or too many; 400, the body is not what the header says; 413,
            more than `limit` bytes when it is unpacked.
    """
    codings = [name for one in elements(header) if (name := one.lower()) != "identity"]
    if len(codings) > MAX_CODINGS:
        raise _unsupported(f"A body has at most {MAX_CODINGS} content codings.")
    # The last one was applied last.
    for coding in reversed(codings):
        if coding in _GZIP:
            body = _gunzip(body, limit)
        elif coding == _DEFLATE:
            body = _inflate(body, limit)
        else:
            raise _unsupported(
                "The body's Content-Encoding is not known here; send it as gzip, as deflate, or"
                " without a coding."
            )
    return body


def _gunzip(body: bytes, limit: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    for _ in range(MAX_MEMBERS):
        piece, body = _unpacked(body, _WITH_GZIP, limit - size, limit)
        pieces.append(piece)
        size += len(piece)
        if not body:
            return b"".join(pieces)
    raise _malformed("gzip")


def _inflate(body: bytes, limit: int) -> bytes:
    # COMPAT: "deflate" is a zlib stream (RFC 9110 §8.4.1.2), but some clients send it bare. The
    # first two bytes of a zlib stream tell (RFC 1950 §2.2).
    wrapped = len(body) > 1 and body[0] & 0x0F == 8 and (body[0] * 256 + body[1]) % 31 == 0
    piece, rest = _unpacked(body, zlib.MAX_WBITS if wrapped else _WITHOUT, limit, limit)
    if rest:
        raise _malformed(_DEFLATE)
    return piece


def _unpacked(body: bytes, window: int, room: int, limit: int) -> tuple[bytes, bytes]:
    """One compressed stream, and the bytes after it."""
    unpacker = zlib.decompressobj(window)
    try:
        piece = unpacker.decompress(body, room + 1)
    except zlib.error:
        raise _malformed("gzip" if window == _WITH_GZIP else _DEFLATE) from None
    if len(piece) > room:
        raise too_large(limit)
    if not unpacker.eof:
        raise _malformed("gzip" if window == _WITH_GZIP else _DEFLATE)
    return piece, unpacker.unused_data


def _malformed(coding: str) -> Problem:
    return Problem("bad-body", f"The body is not the {coding} that its Content-Encoding says.")


def _unsupported(detail: str) -> Problem:
    return Problem("unsupported-coding", detail, headers=((b"accept-encoding", ACCEPTED),))
