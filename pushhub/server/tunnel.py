"""A WebSocket on its way to the origin: after its request, bytes go both ways as they come."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from pushhub.origin.headers import HOP_BY_HOP, to_origin
from pushhub.protocol.problem import Problem
from pushhub.server.limits import MAX_AHEAD_BYTES

if TYPE_CHECKING:
    from pushhub.origin.asked import Asked
    from pushhub.origin.origin import Origin


class End(asyncio.Protocol):
    """One of the two connections: what it hears goes to the `other`."""

    __slots__ = ("other", "transport")

    def __init__(self) -> None:
        self.other: asyncio.Transport | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self.other is not None and not self.other.is_closing():
            self.other.write(data)

    def eof_received(self) -> bool:
        if self.other is not None and self.other.can_write_eof():
            self.other.write_eof()
            return True
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self.other is not None:
            self.other.close()

    def pause_writing(self) -> None:
        # Whoever does not take what it is sent makes its sender wait.
        if self.other is not None and not self.other.is_closing():
            self.other.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and not self.other.is_closing():
            self.other.resume_reading()


class Tunnel:
    """A client's connection and one to the origin, joined."""

    def __init__(self, origin: Origin, asked: Asked) -> None:
        self._origin = origin
        self._asked = asked

    def connect(self, client: asyncio.Transport, early: bytes) -> None:
        """Join `client`, which has sent `early` after its request, with the origin."""
        client.pause_reading()
        near = End()
        near.transport = client
        client.set_protocol(near)
        self._origin.keep(self._join(near, client, early))

    async def _join(self, near: End, client: asyncio.Transport, early: bytes) -> None:
        try:
            found = self._origin.find(self._asked)
            far = await self._reach(found.target)
        except Problem as problem:
            refusal = problem.answer().wire(b"connection: close\r\n")
            client.write(refusal)
            client.close()
            return
        assert far.transport is not None
        if client.is_closing():
            far.transport.close()
            return
        near.other, far.other = far.transport, client
        for transport in (client, far.transport):
            transport.set_write_buffer_limits(MAX_AHEAD_BYTES)
        far.transport.write(self._head() + early)
        client.resume_reading()

    async def _reach(self, target: str) -> End:
        url = urlsplit(target)
        secure = ssl.create_default_context() if url.scheme == "https" else None
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._origin.connect_seconds):
                _, protocol = await loop.create_connection(
                    End, url.hostname or "", url.port or (443 if secure else 80), ssl=secure
                )
        except TimeoutError:
            raise Problem("origin-timeout", "No connection to the origin in time.") from None
        except OSError:
            raise Problem(
                "origin-unreachable", "No connection to the origin can be made."
            ) from None
        return protocol

    def _head(self) -> bytes:
        """The request again, whose hop is this one: it is the origin that upgrades."""
        asked = self._asked
        hop = tuple(pair for pair in asked.pairs if pair[0].lower() in HOP_BY_HOP)
        pairs = (*to_origin(asked, self._origin.forwarded), *hop)
        lines = [f"{asked.method} {asked.target} HTTP/1.1\r\n".encode()]
        lines += [b"%b: %b\r\n" % pair for pair in pairs]
        return b"".join([*lines, b"\r\n"])
