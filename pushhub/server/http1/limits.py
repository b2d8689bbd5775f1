"""Limits of a connection in time and bytes that are not settings."""

from __future__ import annotations

from pushhub.api.endpoints import EndpointRoute, Match

# Time and bytes for which the connection reads on after the last response. With unread bytes a
# close would send a reset, and the client might lose the response.
LINGER_SECONDS = 2
LINGER_BYTES = 16 * 1024 * 1024

# With more unsent bytes a stream writes no further part, and no further request is read.
WRITE_HIGH_WATER = 64 * 1024
# Bytes that a client may send ahead while a request is served or its responses stay unread;
# further bytes stay in the kernel.
MAX_AHEAD_BYTES = 64 * 1024

# The longest time for the requests of one connection before other connections get a turn: a
# segment may hold thousands of requests.
SLICE_SECONDS = 0.005

# `OPTIONS *` asks about the server as a whole (RFC 9110 §9.3.7).
ASTERISK = Match(EndpointRoute("*", {}), None)
