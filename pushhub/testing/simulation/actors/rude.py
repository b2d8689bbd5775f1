"""Clients that cost more than they should: half requests, and responses that nobody reads."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pushhub.testing.simulation.actors.actor import RETRY_SECONDS, Actor
from pushhub.testing.simulation.actors.publishers import events_of
from pushhub.testing.simulation.node import PORT

if TYPE_CHECKING:
    from pushhub.testing.simulation.network import SimulatedEnd

# How late a deadline may be: the wheel's tick, the way, and a coarse clock.
SLACK_SECONDS = 5.0
# Requests that are sent without a pause; their responses are more than all buffers hold.
PIPELINED = 30


class _RudeLine(asyncio.Protocol):
    """A connection on which anything may be sent."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.lost = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.data += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()


class Rude(Actor):
    """A client that opens a connection and breaks the rules of HTTP."""

    longest = 120.0

    async def turn(self) -> None:
        node = self.pick()
        if node is None:
            return
        self._node = node.name
        try:
            end, line = await self.world.network.connect(
                _RudeLine, node.name, PORT, address=self.address
            )
        except OSError:
            await asyncio.sleep(RETRY_SECONDS)
            return
        try:
            await self.misbehave(end, line)
        finally:
            end.close()

    async def misbehave(self, end: SimulatedEnd, line: _RudeLine) -> None:
        """Do it on a connection."""

    async def expect_end(self, line: _RudeLine, seconds: float, what: str) -> None:
        """The server ends the connection in that time."""
        world, begun = self.world, self.world.now()
        try:
            async with asyncio.timeout(seconds + SLACK_SECONDS):
                await line.lost.wait()
        except TimeoutError:
            if not world.troubled_any(begun, world.now()):
                text = f"{what}: the connection is open after {world.now() - begun:.1f} s"
                world.oracle.find("open", self.name, text)


class HalfSender(Rude):
    """Sends a part of a request, and waits; or nothing at all."""

    async def misbehave(self, end: SimulatedEnd, line: _RudeLine) -> None:
        settings = self.world.settings()
        head = f"POST {events_of('news:1')} HTTP/1.1\r\nhost: {self.node}\r\n"
        kind = self.random.choice(("silent", "head", "body", "idle"))
        self.tell(f"{self.node}: {kind}")
        if kind == "head":
            end.write(head[: self.random.randrange(1, len(head))].encode())
            seconds = settings.head_seconds
        elif kind == "body":
            # Refused from its head, for it has no key: what matters is that it ends.
            end.write(f"{head}content-length: 100\r\n\r\nhalf".encode())
            seconds = settings.body_seconds
        elif kind == "idle":
            end.write(f"GET /_pushhub/livez HTTP/1.1\r\nhost: {self.node}\r\n\r\n".encode())
            seconds = settings.keep_alive_seconds
        else:
            seconds = max(settings.head_seconds, settings.keep_alive_seconds)
        await self.expect_end(line, seconds, kind)


class SlowReader(Rude):
    """Asks for much, and reads nothing of it."""

    async def misbehave(self, end: SimulatedEnd, line: _RudeLine) -> None:
        end.pause_reading()
        request = f"GET {events_of('news:1')}?since=earliest&limit=1000 HTTP/1.1\r\n"
        end.write(f"{request}host: {self.node}\r\n\r\n".encode() * PIPELINED)
        await asyncio.sleep(RETRY_SECONDS)
        unsent = end.peer.get_write_buffer_size()
        self.tell(f"{self.node}: {unsent} bytes are not read")
        if self.random.random() < 0.5:
            # A slow one: it reads after all, and loses nothing.
            await asyncio.sleep(self.random.choice((1.0, 10.0, 50.0)))
            end.resume_reading()
            await asyncio.sleep(RETRY_SECONDS)
        elif unsent:
            settings = self.world.settings()
            # What fits into the buffers is written, and then the connection is idle.
            seconds = settings.write_seconds + settings.keep_alive_seconds
            await asyncio.sleep(seconds + SLACK_SECONDS)
            if not end.peer.lost:
                self.world.oracle.find("open", self.name, f"{unsent} bytes are not read, and wait")
