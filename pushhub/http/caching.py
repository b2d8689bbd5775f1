"""Headers that keep caches from giving the response of one reader to another (RFC 9111)."""

from __future__ import annotations

# A reverse proxy must never give one reader's position, or one reader's rights, to another
# (RFC 6202 §5.6).
NO_STORE = (b"cache-control", b"no-store")
VARY = (b"vary", b"Prefer, Wait, Accept, Authorization, Cookie, Origin")

# A proxy that compresses a stream keeps its events until a block is full: HAProxy for 13 to 26 s.
# `no-transform` forbids it to (RFC 9111 §5.2.2.6).
NO_TRANSFORM = (b"cache-control", b"no-store, no-transform")
