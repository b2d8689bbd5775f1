"""A connection to Redis as a plain protocol: commands go out in one write a turn of the loop,
replies come back in order.

redis-py opens it (TLS, ACL, Sentinel) and hands its transport over. From then on a `hiredis.Reader`
reads it: redis-py's own way costs fifteen times as much per message.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, cast

import hiredis

from pushhub.store.base import StoreError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

Reply = Any
Command = tuple[bytes | str | int, ...]

LOST = "The connection to Redis was lost; the result of the command is unknown."


class Wire(asyncio.Protocol):
    """One connection. `closed` is called once, after the connection is lost."""

    def __init__(self, loop: asyncio.AbstractEventLoop, closed: Callable[[], None]) -> None:
        self._loop = loop
        self._closed = closed
        self._reader = hiredis.Reader()
        self._out: list[bytes] = []
        self._waiting: deque[Callable[[Reply], None]] = deque()
        self._transport: asyncio.Transport | None = None
        # When data last arrived, or the first pending command was sent: the loop's seconds.
        self.last_received = loop.time()
        # A reference that keeps the connection open: its collection would close it.
        self.owner: object = None
        # The process at the other end: its run_id.
        self.server = b""
        # Host and port of the server; without meaning for a unix socket.
        self.address = ("", 0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def send(self, command: Command, take: Callable[[Reply], None]) -> None:
        """Send a command; `take` gets its reply, an error of Redis as a `ReplyError`, or that the
        connection was lost as a `StoreUnavailable`.
        """
        if self._transport is None:
            take(StoreUnavailable(LOST, "away"))
            return
        if not self._waiting:
            self.last_received = self._loop.time()
        self._waiting.append(take)
        self.write(command)

    async def ask(self, command: Command, seconds: float) -> Reply:
        """The reply to a command; an error of Redis as a `ReplyError`.

        Raises:
            StoreUnavailable: the connection was lost, or no reply came within so many seconds.
        """
        future: asyncio.Future[Reply] = self._loop.create_future()
        self.send(command, lambda reply: None if future.done() else future.set_result(reply))
        try:
            async with asyncio.timeout(seconds):
                reply = await future
        except TimeoutError:
            self.abort()
            raise StoreUnavailable("Redis does not respond.") from None
        if isinstance(reply, StoreError):
            raise reply
        return reply

    def write(self, command: Command) -> None:
        """Send a command whose reply is no reply to it, as in a subscription."""
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(hiredis.pack_command(command))  # type: ignore[arg-type]

    def _flush(self) -> None:
        out, self._out = self._out, []
        if self._transport is not None:
            self._transport.write(b"".join(out))

    def data_received(self, data: bytes) -> None:
        self.last_received = self._loop.time()
        reader = self._reader
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not False:
                self.reply_received(reply)
        except hiredis.ProtocolError:
            self.abort()

    def reply_received(self, reply: Reply) -> None:
        """Pass a reply to the oldest pending command."""
        if self._waiting:
            self._waiting.popleft()(reply)
        else:
            self.abort()

    def silent_for(self, now: float) -> float:
        """Seconds without data while a reply is pending; 0 if none is."""
        return now - self.last_received if self._waiting else 0.0

    def excuse(self, seconds: float) -> None:
        """Exclude time from the silence in which this process did not read the connection."""
        self.last_received = min(self._loop.time(), self.last_received + seconds)

    @property
    def lost(self) -> bool:
        """Whether the connection is lost."""
        return self._transport is None

    def abort(self) -> None:
        """Close the connection immediately."""
        if self._transport is not None:
            self._transport.abort()
            self.connection_lost(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is None:
            return
        self._transport = None
        waiting, self._waiting = self._waiting, deque()
        for take in waiting:
            take(StoreUnavailable(LOST, "away"))
        self._closed()
