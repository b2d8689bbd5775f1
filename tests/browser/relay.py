"""What the proxies of these tests have in common: they carry bytes from a client to the hub and
back, each in a way of its own.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Coroutine

CHUNK = 65536

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Relay:
    """A port that passes connections on to the hub at `target`. Use as `async with`."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def carry(self, client: Stream, hub: Stream) -> list[Coroutine[None, None, None]]:
        """What happens on one connection; the end of one of them is that of the connection."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve((reader, writer)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, client: Stream) -> None:
        hub = await asyncio.open_connection("127.0.0.1", self.target)
        ways = [asyncio.ensure_future(way) for way in self.carry(client, hub)]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for _, writer in (client, hub):
                writer.transport.abort()
