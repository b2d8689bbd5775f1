"""A relay in front of an application that counts the requests which reach it."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

_CHUNK = 65536
# The longest request line that is looked for across two chunks.
_LONGEST_LINE = 8192
# Also directly behind a body, which need not end with a newline.
_REQUEST_LINE = re.compile(
    rb"(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|PROPFIND|REPORT) (/\S*) HTTP/1\.1\r\n"
)


class Relay:
    """Forwards bytes between the hub and an application, and keeps the time of each request. It
    runs in a thread of its own, so that it works between the event loops of tests, too.
    """

    def __init__(self, origin: int) -> None:
        self._origin = origin
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._connections: set[asyncio.Task[None]] = set()
        self.requests: list[tuple[float, str, str]] = []
        """Of each request its time, method and target."""
        self.port = 0

    def since(self, began: float) -> list[float]:
        """The times of the requests since a moment."""
        return [at for at, _, _ in self.requests if at >= began]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._connections.add(task)
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._origin)
            await asyncio.gather(
                self._carry(reader, back, counts=True), self._carry(there, writer, counts=False)
            )
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            self._connections.discard(task)

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counts: bool
    ) -> None:
        rest = b""
        try:
            while data := await reader.read(_CHUNK):
                if counts:
                    rest = self._count(rest + data)
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()

    def _count(self, data: bytes) -> bytes:
        """Note the requests that begin in `data`; return what may belong to the next one."""
        last = 0
        for found in _REQUEST_LINE.finditer(data):
            method, target = found[1].decode(), found[2].decode("latin-1")
            self.requests.append((time.monotonic(), method, target))
            last = found.end()
        return data[last:][-_LONGEST_LINE:]

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop
        ).result()
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _stop(self) -> None:
        self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
