"""A proxy with an idle timeout: it cuts a connection on which nothing came for a while."""

from __future__ import annotations

import asyncio
from typing import Self

CHUNK = 65536


class CuttingProxy:
    """As a balancer does it, in seconds instead of a minute. Use as `async with`."""

    def __init__(self, target: int, seconds: float) -> None:
        self.target = target
        self.seconds = seconds
        self.port = 0
        self.cuts = 0
        self._tasks: set[asyncio.Task[None]] = set()

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
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.target)
        loop = asyncio.get_running_loop()
        heard = loop.time()

        async def carry(one: asyncio.StreamReader, other: asyncio.StreamWriter) -> None:
            nonlocal heard
            while data := await one.read(CHUNK):
                heard = loop.time()
                other.write(data)
                await other.drain()

        async def watch() -> None:
            left = self.seconds
            while left > 0:
                await asyncio.sleep(left)
                left = heard + self.seconds - loop.time()
            self.cuts += 1

        ways = [asyncio.ensure_future(way) for way in (carry(reader, back), carry(there, writer))]
        ways.append(asyncio.ensure_future(watch()))
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            writer.transport.abort()
            back.transport.abort()
