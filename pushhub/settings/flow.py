"""The settings of bytes in flight and of slow clients."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel

from pushhub.settings.field import LIMITS, setting

# The largest body, of a batch: a smaller budget would refuse a single request.
_LEAST_BYTES = 4 * 1024 * 1024
_MOST_BYTES = 1 << 40


class FlowSettings(BaseModel):
    """A part of `Settings`."""

    # Sixteen of the largest bodies. A complete request needs none of it, so this is for clients
    # whose bodies come in pieces.
    max_body_bytes: Annotated[
        int,
        setting(
            LIMITS,
            "The most bytes of incomplete requests, heads and bodies, that one process has in "
            "memory. Beyond it a request gets 503 with `Retry-After`.",
            unit="bytes",
            ge=_LEAST_BYTES,
            le=_MOST_BYTES,
        ),
    ] = 64 * 1024 * 1024
    # A quarter, so that one address leaves most of the budget to others.
    max_body_bytes_per_address: Annotated[
        int,
        setting(
            LIMITS,
            "The most bytes of incomplete requests of one client address (IPv6: /64). Beyond it a "
            "request gets 429 with `Retry-After`.",
            unit="bytes",
            ge=_LEAST_BYTES,
            le=_MOST_BYTES,
        ),
    ] = 16 * 1024 * 1024
