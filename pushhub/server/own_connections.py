"""Connections of a process to its own listeners, for the canary."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, cast

from uvicorn.server import ServerState

from pushhub.server.http1.factory import ConnectionFactory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from uvicorn.config import Config

    from pushhub.canary.listener import CanaryListener

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

# Windows has no Unix sockets here.
UNIX = getattr(socket, "AF_UNIX", None)
# Addresses that mean every address of the machine, and one of these.
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class PrivateListener:
    """A listener without an address. `dial` makes a pair of sockets: the process serves one end, as
    it serves accepted connections, and the caller has the other.
    """

    def __init__(self, listener: CanaryListener, config: Config) -> None:
        self._config = config
        self._factory = ConnectionFactory(listener)
        # The canary's requests are no clients' requests.
        self._factory.context.access_log = None
        # A state of its own: without a connection the listener does nothing.
        self._state = ServerState()

    async def dial(self) -> Streams:
        """A new connection."""
        near, far = socket.socketpair()
        near.setblocking(False)
        far.setblocking(False)
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(
                lambda: self._factory(self._config, self._state, {}), far
            )
        except BaseException:
            near.close()
            far.close()
            raise
        return await _streams(near)


async def _streams(sock: socket.socket) -> Streams:
    if sock.family == UNIX:
        return await asyncio.open_unix_connection(sock=sock)
    return await asyncio.open_connection(sock=sock)


async def dial_listener(sockets: Sequence[socket.socket]) -> Streams:
    """Connect to the first of the sockets on which this process listens.

    Raises:
        OSError: the connection is refused.
    """
    first = sockets[0]
    name = first.getsockname()
    if first.family == UNIX:
        return await asyncio.open_unix_connection(cast("str", name))
    host, port = cast("tuple[str, int]", name[:2])
    return await asyncio.open_connection(_ANY.get(host, host), port)
