"""The body of a request, sent in pieces while the client still sends them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pushhub.origin.client.early_response import EarlyResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable


class RequestBodySender:
    """Sends one body to the origin.

    `active` is called whenever the origin has accepted a piece. `early` reads a response that the
    origin sends before it resets the connection.
    """

    __slots__ = ("_active", "_task", "_transport", "_waiter", "early")

    def __init__(self, transport: asyncio.Transport, active: Callable[[], None]) -> None:
        self._transport = transport
        self._active = active
        self._waiter: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self.early = EarlyResponse(transport)

    def start(self, body: AsyncIterable[bytes], *, chunked: bool) -> None:
        """Begin to send."""
        self._task = asyncio.get_running_loop().create_task(self._send(body, chunked=chunked))

    @property
    def is_done(self) -> bool:
        """Whether the body was sent to its end, or given up."""
        return self._task is None or self._task.done()

    @property
    def is_blocked(self) -> bool:
        """Whether the origin has to read before more can be sent."""
        return self._waiter is not None

    def pause(self) -> None:
        """The transport's buffer is full."""
        if self._waiter is None:
            self._waiter = asyncio.get_running_loop().create_future()

    def resume(self) -> None:
        """The transport's buffer has space again, or the connection is closed."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def cancel(self) -> bool:
        """Stop sending; whether a part of the body was left."""
        if self.is_done:
            return False
        assert self._task is not None
        return self._task.cancel()

    async def _send(self, body: AsyncIterable[bytes], *, chunked: bool) -> None:
        async for piece in body:
            if self._transport.is_closing():
                return
            self._transport.writelines(framed(piece, last=False) if chunked else (piece,))
            if self._waiter is not None:
                await self._waiter
            self._active()
        self._active()
        if chunked:
            self._transport.write(b"0\r\n\r\n")


def framed(piece: bytes, *, last: bool) -> tuple[bytes, ...]:
    """A piece as a chunk; with `last` also the end of the body."""
    chunk = (b"%x\r\n" % len(piece), piece, b"\r\n") if piece else ()
    return (*chunk, b"0\r\n\r\n") if last else chunk
