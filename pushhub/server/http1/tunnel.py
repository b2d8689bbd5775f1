"""A WebSocket on its way to the origin: after the handshake, bytes go both ways as they come."""

from __future__ import annotations

import asyncio
import socket

from pushhub.server.http1.limits import MAX_AHEAD_BYTES


class TunnelEnd(asyncio.Protocol):
    """One of the two connections: what it hears goes to the `other`."""

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
        # Whoever does not take what it is sent makes its sender wait.
        if not self.other.is_closing():
            self.other.pause_reading()

    def resume_writing(self) -> None:
        if not self.other.is_closing():
            self.other.resume_reading()


def join(near: asyncio.Transport, sent: bytes, far: asyncio.Transport, early: bytes) -> None:
    """Join a client's connection, on which it has `sent` something more, with an origin's, which
    has already said `early`. When one ends, so does the other.
    """
    for transport, other, ahead in ((near, far, early), (far, near, sent)):
        transport.set_protocol(TunnelEnd(other))
        transport.set_write_buffer_limits(MAX_AHEAD_BYTES)
        # Nobody else would notice that one of them is gone: a WebSocket may say nothing for hours.
        if (sock := transport.get_extra_info("socket")) is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if ahead:
            transport.write(ahead)
    for transport in (near, far):
        if not transport.is_closing() and not transport.is_reading():
            transport.resume_reading()
