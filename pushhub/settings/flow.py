"""The settings of bytes in flight and of slow clients."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel

from pushhub.settings.field import LIMITS, ORIGIN, setting

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
    # Apache's mod_reqtimeout has the same rate as its default (`body=20,MinRate=500`).
    min_body_rate: Annotated[
        int,
        setting(
            LIMITS,
            "The least rate of a body to the origin, after the first `body_seconds`; a slower one "
            "ends with 408. Bodies of pushhub's own routes must arrive within `body_seconds`.",
            unit="bytes/s",
            ge=1,
            le=1_000_000,
        ),
    ] = 500
    # As much as is buffered of a larger body.
    origin_buffer_bytes: Annotated[
        int,
        setting(
            ORIGIN,
            "The largest `Content-Length` of a body that is received completely before a "
            "connection to the origin is taken. Larger bodies, chunked ones and those of "
            "`Expect: 100-continue` are passed on as they come.",
            unit="bytes",
            ge=0,
            le=65_536,
        ),
    ] = 65_536
    # With the default of `origin_connections` 128 requests of one address wait for the origin at
    # the same time: more than of an office behind one address.
    origin_share: Annotated[
        float,
        setting(
            ORIGIN,
            "The part of `origin_connections` that requests of one client address (IPv6: /64) may "
            "use. Beyond it they wait, up to `origin_connect_seconds`, and then get 429.",
            gt=0,
            le=1,
        ),
    ] = 0.25
    origin_upload_share: Annotated[
        float,
        setting(
            ORIGIN,
            "The part of `origin_connections` that bodies may use which are passed on as they "
            "come. Beyond it they wait, up to `origin_connect_seconds`, and then get 503.",
            gt=0,
            le=1,
        ),
    ] = 0.5
    # Each has two of the process's files.
    max_tunnels: Annotated[
        int,
        setting(
            ORIGIN,
            "The most WebSockets to the origin of one process. Beyond it a handshake gets 503.",
            ge=0,
            le=1_000_000,
        ),
    ] = 10_000
    # A school or an office behind one address has hundreds of users.
    max_tunnels_per_address: Annotated[
        int,
        setting(
            ORIGIN,
            "The most WebSockets of one client address (IPv6: /64). Beyond it a handshake gets "
            "429.",
            ge=1,
            le=1_000_000,
        ),
    ] = 1_000
