"""Connections in memory: two transports for each, with latency, cuts and silence between them."""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from typing import TYPE_CHECKING, Any, cast

from pushhub.testing.simulation.loop import PROCESS

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.testing.simulation.loop import Process, SimulatedLoop

# A kernel's buffers between two programs, about (net.ipv4.tcp_wmem and tcp_rmem by default).
BUFFER_BYTES = 128 * 1024
# A network in a data centre, and a slow phone.
LATENCY_SECONDS = 0.001


class SimulatedListener:
    """A server's address. `accept` makes the protocol of each connection."""

    def __init__(self, accept: Callable[[], asyncio.BaseProtocol], process: Process | None) -> None:
        self.accept = accept
        self.process = process
        self.context = contextvars.copy_context()
        self.open: dict[SimulatedEnd, None] = {}


class Network:
    """All listeners, by host and port, and the connections to them."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop
        loop.network = self
        self.latency = LATENCY_SECONDS
        self._listeners: dict[tuple[str, int], SimulatedListener] = {}
        self.made = 0

    def listen(
        self, host: str, port: int, accept: Callable[[], asyncio.BaseProtocol]
    ) -> SimulatedListener:
        """Accept connections at an address, in the present process."""
        listener = self._listeners[host, port] = SimulatedListener(accept, PROCESS.get())
        return listener

    def unlisten(self, host: str, port: int) -> None:
        """Accept no more connections at an address; those that are there stay."""
        self._listeners.pop((host, port), None)

    async def connect(
        self,
        factory: Callable[[], asyncio.BaseProtocol],
        host: str,
        port: int,
        *,
        address: str = "127.0.0.1",
    ) -> tuple[SimulatedEnd, Any]:
        """Make a connection to an address, from another.

        Raises:
            ConnectionRefusedError: no server listens there.
        """
        await asyncio.sleep(self.latency)
        listener = self._listeners.get((host, port))
        if listener is None:
            raise ConnectionRefusedError(f"{host}:{port} refuses connections")
        self.made += 1
        near, far = SimulatedEnd(self._loop, self.latency), SimulatedEnd(self._loop, self.latency)
        near.extra = {"peername": (host, port), "sockname": (address, self.made)}
        far.extra = {"peername": (address, self.made), "sockname": (host, port)}
        near.peer, far.peer = far, near
        far.listener = listener
        listener.open[far] = None
        protocol = factory()
        near.begin(protocol)
        listener.context.copy().run(far.begin, listener.accept())
        return near, protocol


_END = object()
_RESET = object()


class SimulatedEnd(asyncio.Transport):
    """One end of a connection, as its protocol sees it."""

    peer: SimulatedEnd

    def __init__(self, loop: SimulatedLoop, latency: float) -> None:
        super().__init__()
        self.extra: dict[str, Any] = {}
        self.listener: SimulatedListener | None = None
        self.dead = False
        """Whether everything sent from this end is lost: a cable that was pulled."""
        self._loop = loop
        self._latency = latency
        self._context: contextvars.Context
        self._protocol: asyncio.Protocol
        # What is on its way here, and when it arrives.
        self._coming: deque[tuple[float, Any]] = deque()
        self._coming_bytes = 0
        self._due = False
        self._reading = True
        self._closing = False
        self._lost = False
        self._ended = False
        self._full = False
        self._high = 64 * 1024

    def begin(self, protocol: asyncio.BaseProtocol) -> None:
        """Give the end its protocol."""
        self._context = contextvars.copy_context()
        self._protocol = cast("asyncio.Protocol", protocol)
        protocol.connection_made(self)

    # The transport

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.extra.get(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = cast("asyncio.Protocol", protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def is_closing(self) -> bool:
        return self._closing

    def is_reading(self) -> bool:
        return self._reading and not self._closing

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        if not self._reading:
            self._reading = True
            self._expect()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = 64 * 1024 if high is None else high

    def get_write_buffer_size(self) -> int:
        return max(0, self.peer._coming_bytes - BUFFER_BYTES)

    def write(self, data: Any) -> None:
        if self._closing or self._ended or not data:
            return
        if self.peer._lost:
            # The other side's kernel answers with a reset.
            self._loop.call_at(
                self._loop.time() + 2 * self._latency, self._lose, ConnectionResetError(),
                context=self._context,
            )  # fmt: skip
            return
        if not self.dead:
            self.peer._arrive(bytes(data), len(data))
        if self.get_write_buffer_size() > self._high and not self._full:
            self._full = True
            self._protocol.pause_writing()

    def writelines(self, pieces: Any) -> None:
        self.write(b"".join(pieces))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if not self._ended and not self._closing:
            self._ended = True
            if not self.dead:
                self.peer._arrive(_END, 0)

    def close(self) -> None:
        if not self._closing:
            self.write_eof()
            self._closing = True
            # What was written is still sent, however long the other side takes to read it.
            if not self.get_write_buffer_size():
                self._loop.call_soon(self._lose, None, context=self._context)

    def abort(self) -> None:
        if not self._lost:
            self._closing = True
            if not self.dead:
                self.peer._arrive(_RESET, 0)
            self._loop.call_soon(self._lose, None, context=self._context)

    def vanish(self) -> None:
        """The process of this end was killed: its kernel resets the connection."""
        if not self.dead:
            self.peer._arrive(_RESET, 0)
        self._lost = self._closing = True
        self._coming.clear()
        self._coming_bytes = 0
        if self.listener is not None:
            self.listener.open.pop(self, None)

    @property
    def lost(self) -> bool:
        """Whether it is over, and nothing is sent any more."""
        return self._lost

    # What is done to it

    def cut(self) -> None:
        """A proxy or a kernel in between ends the connection: both sides see a reset."""
        for end in (self, self.peer):
            end._closing = True
            end._loop.call_soon(end._lose, ConnectionResetError(), context=end._context)

    def silence(self) -> None:
        """The path in between is gone, and neither side notices."""
        self.dead = self.peer.dead = True

    def _arrive(self, what: Any, size: int) -> None:
        self._coming.append((self._loop.time() + self._latency, what))
        self._coming_bytes += size
        self._expect()

    def _expect(self) -> None:
        if self._coming and not self._due and self._reading and not self._lost:
            self._due = True
            self._loop.call_at(self._coming[0][0], self._take, context=self._context)

    def _take(self) -> None:
        self._due = False
        now = self._loop.time()
        while self._coming and self._reading and not self._lost and self._coming[0][0] <= now:
            _, what = self._coming.popleft()
            if what is _RESET:
                self._lose(ConnectionResetError())
            elif what is _END:
                if not self._closing and not self._protocol.eof_received():
                    self.close()
            else:
                self._coming_bytes -= len(what)
                if not self._closing:
                    self._protocol.data_received(what)
                self.peer._drained()
        self._expect()

    def _drained(self) -> None:
        if self._closing and not self._lost and not self.get_write_buffer_size():
            self._loop.call_soon(self._lose, None, context=self._context)
        if self._full and self.get_write_buffer_size() <= self._high // 4:
            self._full = False
            self._loop.call_soon(self._resume, context=self._context)

    def _resume(self) -> None:
        if not self._lost:
            self._protocol.resume_writing()

    def _lose(self, error: Exception | None) -> None:
        if not self._lost:
            self._lost = self._closing = True
            self._coming.clear()
            self._coming_bytes = 0
            self.peer._drained()
            if self.listener is not None:
                self.listener.open.pop(self, None)
            self._protocol.connection_lost(error)

    def __repr__(self) -> str:
        return f"<End {self.extra.get('sockname')} to {self.extra.get('peername')}>"
