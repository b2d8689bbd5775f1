"""What an origin said before it closed a connection on which we were still writing.

An origin that refuses a large body in the middle of it (413, 401) answers, and closes with bytes
unread: the kernel resets the connection (RFC 9112 §9.6). If we write before we read, the write
fails and the transport closes, with the answer still in the kernel. A second handle of the socket
outlives the transport, and what was received can be read there.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

# A refusal is small; what is longer is a response that broke off, whatever more of it there was.
MAX_BYTES = 256 * 1024


class EarlyResponse:
    """A second handle of a connection's socket, from when a body is sent on it in pieces until its
    response was read. Over TLS there is none: what the kernel has is encrypted, and its keys go
    with the transport. Nor is there one when the process may open no more files: the body goes out
    all the same, and of what the origin says with a reset the client may then hear nothing.
    """

    __slots__ = ("_socket",)

    def __init__(self, transport: asyncio.Transport) -> None:
        self._socket: socket.socket | None = None
        if transport.get_extra_info("sslcontext") is None:
            fileno = transport.get_extra_info("socket").fileno()
            with suppress(OSError):
                self._socket = socket.socket(fileno=os.dup(fileno))

    def words(self) -> bytes:
        """What came and was not read, of a connection whose transport is closed."""
        if self._socket is None:
            return b""
        said = bytearray()
        try:
            while len(said) < MAX_BYTES:
                piece = self._socket.recv(MAX_BYTES, socket.MSG_DONTWAIT)
                if not piece:
                    break
                said += piece
        except OSError:
            # The reset itself, or nothing more.
            pass
        return bytes(said)

    def close(self) -> None:
        """Let go of the socket, which is closed for good only then."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
