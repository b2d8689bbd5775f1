"""The body of a request to the origin, from the client's connection."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pushhub.server.http1.limits import MAX_AHEAD_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pushhub.server.http1.proxy import ProxyHost


class Upload:
    """The body of one request. A client that sends faster than the origin waits.

    A body that `is_whole` is given to the origin when it is complete, so that a slow client takes
    no connection; it has at most `MAX_AHEAD_BYTES`. The bytes in memory count in the budget.
    """

    __slots__ = ("_arrived", "_done", "_host", "_is_whole", "_lease", "_pieces", "_size")

    def __init__(self, host: ProxyHost, is_whole: bool) -> None:
        self._host = host
        self._is_whole = is_whole
        self._lease = host.lease()
        self._pieces: list[bytes] = []
        self._size = 0
        self._done = False
        self._arrived: asyncio.Future[None] | None = None

    def feed(self, piece: bytes, *, done: bool) -> None:
        """Add a piece; the last one is `done`.

        Raises:
            Problem: too many bytes are in memory, for the client or for the process.
        """
        if piece:
            self._pieces.append(piece)
            self._size += len(piece)
        self._done = self._done or done
        transport = self._host.transport
        if self._size > MAX_AHEAD_BYTES and not transport.is_closing():
            transport.pause_reading()
        arrived, self._arrived = self._arrived, None
        if arrived is not None and not arrived.done():
            arrived.set_result(None)
        self._lease.hold(self._size)

    async def body(self) -> bytes | Upload:
        """The bytes of a complete body, the usual case; else this object, which streams them."""
        while self._is_whole and not self._done:
            await self._more()
        return b"".join(self._pieces) if self._done else self

    def release(self) -> None:
        """The bytes are needed no more."""
        self._lease.release()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            if self._pieces:
                piece = b"".join(self._pieces)
                self._pieces.clear()
                self._size = 0
                self._lease.release()
                transport = self._host.transport
                if not transport.is_reading() and not transport.is_closing():
                    transport.resume_reading()
                    self._host.resume_body()
                yield piece
            elif self._done:
                return
            else:
                await self._more()

    async def _more(self) -> None:
        self._arrived = asyncio.get_running_loop().create_future()
        await self._arrived
