"""A proxy that compresses what passes, and keeps the end of it until more is written."""

from __future__ import annotations

import asyncio
import zlib
from typing import Self

CHUNK = 65536
_END = b"\r\n\r\n"


class CompressingProxy:
    """As HAProxy's `compression algo gzip` does it to a stream: the last bytes of each write come
    with the next one, 15 s later if nothing else happens. Use as `async with`.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.streams = 0
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

        async def forth() -> None:
            while data := await reader.read(CHUNK):
                back.write(data)
                await back.drain()

        async def answers() -> None:
            while data := await there.read(CHUNK):
                if b"content-type: text/event-stream" in data:
                    self.streams += 1
                    await self._stream(data, there, writer)
                    return
                writer.write(data)
                await writer.drain()

        ways = [asyncio.ensure_future(way()) for way in (forth, answers)]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            writer.transport.abort()
            back.transport.abort()

    async def _stream(
        self, data: bytes, there: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while _END not in data:
            data += await there.read(CHUNK)
        head, _, body = data.partition(_END)
        writer.write(head + b"\r\ncontent-encoding: gzip" + _END)
        packer = zlib.compressobj(6, zlib.DEFLATED, 31)
        kept = b""
        while True:
            # Chunks of a few hundred bytes are whole: the hub writes each in one piece.
            while body:
                size, _, rest = body.partition(b"\r\n")
                piece, body = rest[: int(size, 16)], rest[int(size, 16) + 2 :]
                whole, kept = kept + piece[:-2], piece[-2:]
                packed = packer.compress(whole) + packer.flush(zlib.Z_SYNC_FLUSH)
                writer.write(b"%x\r\n%b\r\n" % (len(packed), packed))
            await writer.drain()
            if not (body := await there.read(CHUNK)):
                return
