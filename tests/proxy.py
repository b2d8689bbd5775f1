"""A TCP proxy that does to connections what networks do: it delays, cuts and half-opens them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

CHUNK = 65536


class Passage:
    """One connection through the proxy."""

    def __init__(self) -> None:
        self.delay = 0.0
        """Seconds that every chunk takes, in either direction."""
        self.mute = False
        """Whatever comes is swallowed; neither side is told."""
        self._writers: list[asyncio.StreamWriter] = []

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        try:
            while data := await reader.read(CHUNK):
                if self.delay:
                    await asyncio.sleep(self.delay)
                if not self.mute:
                    writer.write(data)
                    await writer.drain()
        except OSError:
            pass
        finally:
            if not self.mute:
                writer.close()

    def cut(self) -> None:
        """Reset it on both sides."""
        for writer in self._writers:
            writer.transport.abort()


class Proxy:
    """Listens on a free port of loopback, and passes everything on to `target`, another port.

    Use as `async with Proxy(port) as proxy`; when it ends, so does every connection.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.passages: list[Passage] = []
        """Those that live, in the order in which they came."""
        self.accepts = True
        """Whether new connections are let through; else they are reset."""
        self._mute = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def cut(self) -> None:
        """Reset every connection. New ones are let through, if `accepts`."""
        for passage in list(self.passages):
            passage.cut()

    def half_open(self) -> None:
        """From now on nothing arrives any more, and no side is told: not on the connections that
        there are, nor on new ones."""
        self._mute = True
        for passage in self.passages:
            passage.mute = True

    def heal(self) -> None:
        """New connections work. Those that were half-open lost bytes, and stay as they are."""
        self._mute = False

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passage = Passage()
        passage.mute = self._mute
        self.passages.append(passage)
        try:
            if not self.accepts:
                return
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
            try:
                await asyncio.gather(passage.carry(reader, back), passage.carry(there, writer))
            finally:
                back.transport.abort()
        except OSError:
            pass
        finally:
            writer.transport.abort()
            self.passages.remove(passage)
