"""The tunnel of a WebSocket to the origin: after the handshake, bytes pass in both directions."""

from __future__ import annotations

import asyncio
import socket

from pushhub.server.http1.limits import MAX_AHEAD_BYTES


class TunnelEnd(asyncio.Protocol):
    """One of the two connections: bytes that it receives go to the `other`."""

    __slots__ = ("other",)

    def __init__(self, other: asyncio.Transport) -> None:
        self.other = other

    def data_received(self, data: bytes) -> None:
        if not self.other.is_closing():
            self.other.write(data)

    def eof_received(self) -> bool:
        if not self.other.is_closing() and self.other.can_write_eof():
            self.other.write_eof()
            return True
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None:
            self.other.close()
        else:
            self.other.abort()

    def pause_writing(self) -> None:
        # A slow receiver makes the sender wait.
        if not self.other.is_closing():
            self.other.pause_reading()

    def resume_writing(self) -> None:
        if not self.other.is_closing():
            self.other.resume_reading()


def join(near: asyncio.Transport, sent: bytes, far: asyncio.Transport, early: bytes) -> None:
    """Join a client's connection with an origin's. `sent` are bytes that the client has sent after
    its request, `early` those of the origin after its response. When one connection ends, so does
    the other.
    """
    for transport, other, ahead in ((near, far, early), (far, near, sent)):
        transport.set_protocol(TunnelEnd(other))
        transport.set_write_buffer_limits(MAX_AHEAD_BYTES)
        # Only TCP keep-alive notices a lost peer: a WebSocket may be silent for hours.
        if (sock := transport.get_extra_info("socket")) is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if ahead:
            transport.write(ahead)
    for transport in (near, far):
        if not transport.is_closing() and not transport.is_reading():
            transport.resume_reading()
