"""A proxy that compresses what passes, and keeps the end of it until more is written."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from tests.browser.relay import CHUNK, Relay

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine

    from tests.browser.relay import Stream

_END = b"\r\n\r\n"


class CompressingProxy(Relay):
    """As HAProxy's `compression algo gzip` does it to a stream: the last bytes of each write come
    with the next one, 15 s later if nothing else happens.
    """

    def __init__(self, target: int) -> None:
        super().__init__(target)
        self.streams = 0

    def carry(self, client: Stream, hub: Stream) -> list[Coroutine[None, None, None]]:
        async def forth() -> None:
            while data := await client[0].read(CHUNK):
                hub[1].write(data)
                await hub[1].drain()

        async def answers() -> None:
            while data := await hub[0].read(CHUNK):
                if b"content-type: text/event-stream" in data:
                    self.streams += 1
                    await self._stream(data, hub[0], client[1])
                    return
                client[1].write(data)
                await client[1].drain()

        return [forth(), answers()]

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
