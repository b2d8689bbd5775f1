"""A TCP proxy that does to connections what networks do, and worse: it delays, cuts, refuses and
half-opens them, loses the messages of Redis's pub/sub, and leads to another server.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

CHUNK = 65536
# One whole pub/sub message, as RESP2 writes it.
_MESSAGE = re.compile(rb"\*3\r\n\$7\r\nmessage\r\n\$\d+\r\n[^\r\n]*\r\n\$\d+\r\n[^\r\n]*\r\n")


class Passage:
    """One connection through the proxy."""

    def __init__(self) -> None:
        self.delay = 0.0
        """Seconds that every chunk takes, in either direction."""
        self.mute = False
        """Whatever comes is swallowed; neither side is told."""
        self._may = asyncio.Event()
        self._may.set()
        self._writers: list[asyncio.StreamWriter] = []

    async def carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        change: Callable[[bytes], bytes],
    ) -> None:
        self._writers.append(writer)
        try:
            while data := await reader.read(CHUNK):
                if self.delay:
                    await asyncio.sleep(self.delay)
                await self._may.wait()
                if not self.mute and (data := change(data)):
                    writer.write(data)
                    await writer.drain()
        except OSError:
            pass
        finally:
            if not self.mute:
                writer.close()

    def keep_back(self) -> None:
        """What comes from now on waits here, in either direction, until `pass_on`."""
        self._may.clear()

    def pass_on(self) -> None:
        self._may.set()

    def cut(self) -> None:
        """Reset it on both sides."""
        for writer in self._writers:
            writer.transport.abort()


class Proxy:
    """Listens on a free port of loopback, and passes everything on to `target`, another port.

    Use as `async with Proxy(port) as proxy`, or start and close it; when it ends, so does every
    connection.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        """Where new connections lead to."""
        self.port = 0
        self.passages: list[Passage] = []
        """Those that live, in the order in which they came."""
        self.accepts = True
        """Whether new connections are let through; else they are reset."""
        self.swallows = False
        """Whether pub/sub messages vanish on their way back."""
        self.swallowed = 0
        """How many have."""
        self._delay = 0.0
        self._mute = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def delay(self, seconds: float) -> None:
        """From now on everything is late, each way, on connections old and new."""
        self._delay = seconds
        for passage in self.passages:
            passage.delay = seconds

    def cut(self) -> None:
        """Reset every connection. New ones are let through, if `accepts`."""
        for passage in list(self.passages):
            passage.cut()

    def part(self) -> None:
        """Reset every connection, and let nobody in."""
        self.accepts = False
        self.cut()

    def join(self, target: int | None = None) -> None:
        """Let everybody in again, perhaps to another server."""
        self.target = target or self.target
        self.accepts = True

    def half_open(self) -> None:
        """Nothing arrives any more on the connections that there are, and no side is told. New
        ones work."""
        for passage in self.passages:
            passage.mute = True

    def go_silent(self) -> None:
        """As `half_open`, and new connections are so from their first byte on."""
        self._mute = True
        self.half_open()

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
        passage.delay = self._delay
        self.passages.append(passage)
        try:
            if not self.accepts:
                return
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
            try:
                await asyncio.gather(
                    passage.carry(reader, back, bytes), passage.carry(there, writer, self._told)
                )
            finally:
                back.transport.abort()
        except OSError:
            pass
        finally:
            writer.transport.abort()
            self.passages.remove(passage)

    def _told(self, data: bytes) -> bytes:
        if not self.swallows:
            return data
        left, count = _MESSAGE.subn(b"", data)
        self.swallowed += count
        return left
