"""What a connection is given in time and bytes, beside what is a setting."""

from __future__ import annotations

from pushhub.api.endpoints import EndpointRoute, Match

# How long, and how much, we read on after a last answer, so that the client reads it before a reset
# hits it.
LINGER_SECONDS = 2
LINGER_BYTES = 16 * 1024 * 1024

# Unsent bytes beyond which a stream is not fed and no further request is begun.
WRITE_HIGH_WATER = 64 * 1024
# Bytes that a client may send ahead while a request is being answered, or answers are not being
# read; then they stay with the kernel.
MAX_AHEAD_BYTES = 64 * 1024

# How long one connection's requests are gone through before others have their turn: a segment may
# hold thousands of them.
SLICE_SECONDS = 0.005

# `OPTIONS *` asks about the server as a whole (RFC 9110 §9.3.7).
ASTERISK = Match(EndpointRoute("*", {}), None)
