"""A TCP proxy that misbehaves on purpose: it delays, cuts, goes half-open, loses pub/sub messages,
and leads to another server.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

# One whole pub/sub message, as RESP2 writes it.
_MESSAGE = re.compile(rb"\*3\r\n\$7\r\nmessage\r\n\$\d+\r\n[^\r\n]*\r\n\$\d+\r\n[^\r\n]*\r\n")


class Proxy:
    """Listens on a port of its own, and leads to `target`, a port."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        # Seconds by which everything is late, each way.
        self.delay = 0.0
        # Whether new connections are refused, and whether pub/sub messages vanish.
        self.refuses = False
        self.swallows = False
        self.swallowed = 0
        self._links: set[Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def cut(self) -> None:
        """Reset every connection."""
        for link in list(self._links):
            link.cut()

    def half_open(self) -> None:
        """Let every connection that there is pass nothing any more, and let nobody know."""
        for link in self._links:
            link.deaf = True

    def part(self) -> None:
        """Cut everything, and let nobody in."""
        self.refuses = True
        self.cut()

    def join(self, target: int | None = None) -> None:
        """Let everybody in again, perhaps to another server."""
        self.target = target or self.target
        self.refuses = False

    async def close(self) -> None:
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            writer.transport.abort()
            return
        try:
            other_reader, other = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        link = Link(writer, other)
        self._links.add(link)
        tasks = [
            asyncio.create_task(self._pump(link, reader, other, bytes)),
            asyncio.create_task(self._pump(link, other_reader, writer, self._told)),
        ]
        self._tasks.update(tasks)
        try:
            await asyncio.wait(tasks)
        finally:
            self._links.discard(link)
            self._tasks.difference_update(tasks)

    async def _pump(
        self,
        link: Link,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        change: Callable[[bytes], bytes],
    ) -> None:
        try:
            while data := await reader.read(65536):
                if self.delay:
                    await asyncio.sleep(self.delay)
                if not link.deaf and (data := change(data)):
                    writer.write(data)
                    await writer.drain()
            if not link.deaf:
                link.cut()
        except OSError:
            link.cut()

    def _told(self, data: bytes) -> bytes:
        if not self.swallows:
            return data
        left, count = _MESSAGE.subn(b"", data)
        self.swallowed += count
        return left


class Link:
    """The two connections of one client."""

    def __init__(self, *writers: asyncio.StreamWriter) -> None:
        self._writers = writers
        self.deaf = False

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
