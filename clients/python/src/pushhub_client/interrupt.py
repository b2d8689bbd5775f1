"""Ends a request that another thread waits for, by its socket."""

import socket
from collections.abc import Mapping
from typing import Any


class Interrupt:
    """The connection of one reading thread, which any thread may shut down.

    A connection through a proxy is not seen: its request ends at the end of its wait.
    """

    def __init__(self) -> None:
        self.requested = False
        self._stream: Any = None

    def trace(self, name: str, info: Mapping[str, Any]) -> None:
        """Notes the connection (the extension `trace` of httpx)."""
        if name.endswith(("connect_tcp.complete", "start_tls.complete", "unix_socket.complete")):
            self._stream = info["return_value"]
        # A request that was cut before it had a connection.
        if self.requested and name.endswith("receive_response_headers.started"):
            self._shut()

    def cut(self) -> None:
        """End the request, if there is one."""
        self.requested = True
        self._shut()

    def _shut(self) -> None:
        connection = self._stream.get_extra_info("socket") if self._stream else None
        if connection is not None:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
