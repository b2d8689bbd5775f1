"""The tunnel of a WebSocket to the origin: after the handshake, bytes pass in both directions."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from pushhub.server.http1.limits import MAX_AHEAD_BYTES

if TYPE_CHECKING:
    from pushhub.origin.tunnels import Tunnel


class TunnelEnd(asyncio.Protocol):
    """One of the two connections: bytes that it receives go to the `other`.

    A receiver that reads nothing for `stall_seconds` ends the tunnel: the kernel would wait for it
    without end.
    """

    __slots__ = ("_stalled", "_transport", "other", "stall_seconds", "tunnel")

    def __init__(
        self,
        transport: asyncio.Transport,
        other: asyncio.Transport,
        tunnel: Tunnel,
        stall_seconds: float,
    ) -> None:
        self._transport = transport
        self.other = other
        self.tunnel = tunnel
        self.stall_seconds = stall_seconds
        self._stalled: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        if not self.other.is_closing():
            self.other.write(data)

    def eof_received(self) -> bool:
        if self.tunnel.is_half_closed or self.other.is_closing():
            # Both have sent their last byte; `close` sends what is left.
            self.other.close()
            return False
        self.tunnel.is_half_closed = self.other.can_write_eof()
        if self.tunnel.is_half_closed:
            self.other.write_eof()
        return self.tunnel.is_half_closed

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel()
        self.tunnel.end()
        if exc is None:
            self.other.close()
        else:
            self.other.abort()

    def pause_writing(self) -> None:
        # A slow receiver makes the sender wait.
        if not self.other.is_closing():
            self.other.pause_reading()
        if self._stalled is None:
            loop = asyncio.get_running_loop()
            self._stalled = loop.call_later(self.stall_seconds, self._transport.abort)

    def resume_writing(self) -> None:
        self._cancel()
        if not self.other.is_closing():
            self.other.resume_reading()

    def _cancel(self) -> None:
        stalled, self._stalled = self._stalled, None
        if stalled is not None:
            stalled.cancel()


def join(
    near: asyncio.Transport,
    sent: bytes,
    far: asyncio.Transport,
    early: bytes,
    tunnel: Tunnel,
    stall_seconds: float,
) -> None:
    """Join a client's connection with an origin's. `sent` are bytes that the client has sent after
    its request, `early` those of the origin after its response. When one connection ends, so does
    the other, and the `tunnel`.
    """
    tunnel.near = near
    for transport, other, ahead in ((near, far, early), (far, near, sent)):
        transport.set_protocol(TunnelEnd(transport, other, tunnel, stall_seconds))
        transport.set_write_buffer_limits(MAX_AHEAD_BYTES)
        # Only TCP keep-alive notices a lost peer: a WebSocket may be silent for hours.
        if (sock := transport.get_extra_info("socket")) is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if ahead:
            transport.write(ahead)
    for transport in (near, far):
        if not transport.is_closing() and not transport.is_reading():
            transport.resume_reading()
