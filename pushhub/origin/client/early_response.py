"""An early response: the origin responds and resets the connection before the request was sent.

An origin that refuses a large body in the middle of it (413, 401) responds, and closes with bytes
unread: the kernel resets the connection (RFC 9112 §9.6). If pushhub writes before it reads, the
write fails and the transport closes, while the response is still in the kernel. A second handle of
the socket outlives the transport, and the response can be read from it.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

# A refusal is small; a longer response is treated as one that broke off.
MAX_BYTES = 256 * 1024


class EarlyResponse:
    """A second handle of a connection's socket, while a body is sent on it in pieces and until its
    response was read.

    Over TLS there is no handle: the bytes in the kernel are encrypted, and the transport takes the
    keys with it. There is none either if the process may open no more files: the body is sent
    nevertheless, and the client may miss a response that comes with a reset.
    """

    __slots__ = ("_socket",)

    def __init__(self, transport: asyncio.Transport) -> None:
        self._socket: socket.socket | None = None
        if transport.get_extra_info("sslcontext") is None:
            fileno = transport.get_extra_info("socket").fileno()
            with suppress(OSError):
                self._socket = socket.socket(fileno=os.dup(fileno))

    def read(self) -> bytes:
        """The bytes that arrived and were not read, once the transport is closed."""
        if self._socket is None:
            return b""
        received = bytearray()
        try:
            while len(received) < MAX_BYTES:
                piece = self._socket.recv(MAX_BYTES, socket.MSG_DONTWAIT)
                if not piece:
                    break
                received += piece
        except OSError:
            # The reset itself, or nothing more.
            pass
        return bytes(received)

    def close(self) -> None:
        """Close the handle; the socket is closed only then."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
