"""A generator process: thousands of clients, controlled by lines of JSON on standard input.

The process responds to each line with one line, and exits when its input ends, so it cannot outlive
its parent process.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import resource
import socket
import ssl
import sys
import time
from itertools import cycle, repeat
from typing import Any

import orjson
import uvloop

from pushhub.bench.dialect import restore
from pushhub.bench.poller import ClientGroup, PolledChannel, Poller
from pushhub.bench.publishing import publish_for
from pushhub.bench.tally import Tally

# Connections being opened at a time: listen queues have 4,096 places and often fewer.
OPENING = 256
# The timeout of the first connection.
CONNECT_SECONDS = 10.0
# One source address has 28,000 ports by default, shared with other programs.
CLIENTS_PER_ADDRESS = 10_000
# Linux: choose the port when the destination is known, so that it need not be free for all others.
IP_BIND_ADDRESS_NO_PORT = 24


class Generator:
    """The clients of one process."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.host: str = plan["host"]
        self.port: int = plan["port"]
        self.number: int = plan["number"]
        self.tls = ssl.create_default_context() if plan["tls"] else None
        self.loop = asyncio.get_running_loop()
        # A name may have several addresses; the server listens on one of them.
        with socket.create_connection((self.host, self.port), CONNECT_SECONDS) as first:
            self.family, self.address = first.family, first.getpeername()
        self.clients = ClientGroup(restore(plan["dialect"]), Tally())
        self.channels: dict[str, PolledChannel] = {}
        self.pollers: list[Poller] = []
        # CPU and wall seconds of the bursts since the counting began.
        self.bursts = (0.0, 0.0)
        self.begun = (time.process_time(), time.monotonic())

    async def run(self, lines: asyncio.StreamReader) -> None:
        """Run commands until the input ends."""
        async for line in lines:
            command = orjson.loads(line)
            reply = getattr(self, "do_" + command.pop("do"))(**command)
            if inspect.isawaitable(reply):
                reply = await reply
            sys.stdout.buffer.write(orjson.dumps(reply or {}) + b"\n")
            sys.stdout.buffer.flush()

    async def do_open(
        self, channels: list[str], each: int, tokens: list[str], interval: float, pages: bool
    ) -> None:
        """Connect `each` clients for every channel, and start their polls."""
        clients = self.clients
        clients.interval, clients.pages = interval, pages
        token = cycle(map(str.encode, tokens)) if tokens else repeat(b"")
        new = []
        for name in channels:
            channel = self.channels.setdefault(name, PolledChannel(name))
            new += [Poller(clients, channel, next(token)) for _ in range(each)]
        self.pollers += new
        await self._connect(new)
        # The clients live until the end; collections that visit them would be load, too.
        gc.collect()
        gc.freeze()
        gc.disable()

    def do_count(self) -> None:
        """Reset the counters; every client keeps its position."""
        self.clients.tally = Tally()
        self.bursts = (0.0, 0.0)
        self.begun = (time.process_time(), time.monotonic())

    def do_expect(self, each: int) -> None:
        """Start a burst, which ends when every client has received `each` events in all."""
        self.clients.expect(each * len(self.pollers))

    async def do_reached(self, timeout: float) -> dict[str, Any]:
        """Wait for the end of the burst."""
        clients = self.clients
        try:
            async with asyncio.timeout(timeout):
                await clients.reached.wait()
        except TimeoutError:
            clients.end_burst()
        self.bursts = (self.bursts[0] + clients.burst[0], self.bursts[1] + clients.burst[1])
        return {"received": clients.tally.received, "seconds": clients.burst[1]}

    def do_report(self, published: dict[str, int] | None) -> dict[str, Any]:
        """The counts. Readers of a channel must have received its `published` events."""
        cpu, wall = time.process_time() - self.begun[0], time.monotonic() - self.begun[1]
        report = self.clients.tally.report()
        if published is not None:
            report["lost"] += sum(
                max(0, published.get(poller.channel.name, 0) - poller.seen)
                for poller in self.pollers
            )
        busy = self.bursts if self.bursts[1] else (cpu, wall)
        return report | {"cpu": cpu, "busiest": busy[0] / busy[1] if busy[1] else 0.0}

    async def do_disconnect(self) -> None:
        """Abort every connection, as in a network failure."""
        clients = self.clients
        clients.closing = True
        clients.disconnected.clear()
        for poller in self.pollers:
            if poller.transport is not None:
                poller.transport.abort()
        if clients.connected:
            await clients.disconnected.wait()
        clients.closing = False

    async def do_reconnect(self) -> None:
        """Connect all clients without a connection, and continue at their positions."""
        await self._connect([poller for poller in self.pollers if poller.transport is None])

    async def do_publish(
        self, channels: list[str], connections: int, seconds: float, size: int
    ) -> dict[str, Any]:
        """Publish as fast as the receipts come."""
        transports = [self._socket(number) for number in range(connections)]
        return await publish_for(self, transports, channels, seconds, size)

    async def _connect(self, pollers: list[Poller]) -> None:
        """Open connections, some at a time. Clients that poll at intervals start spread out."""
        waiting = iter(enumerate(pollers))
        interval, count = self.clients.interval, len(pollers)

        async def some() -> None:
            for number, poller in waiting:
                try:
                    await self.open_socket(self._socket(number), poller)
                except OSError:
                    self.clients.tally.broken += 1
                    continue
                if interval:
                    self.loop.call_later(interval * number / count, poller.poll)
                else:
                    poller.poll()

        await asyncio.gather(*(some() for _ in range(min(OPENING, count))))

    async def open_socket(self, sock: socket.socket, protocol: asyncio.Protocol) -> None:
        """Connect a socket, and give its transport to a protocol.

        Raises:
            OSError: the server does not accept the connection.
        """
        try:
            await self.loop.sock_connect(sock, self.address)
            await self.loop.create_connection(
                lambda: protocol,
                sock=sock,
                ssl=self.tls,
                server_hostname=self.host if self.tls else None,
            )
        except OSError:
            sock.close()
            raise

    def _socket(self, number: int) -> socket.socket:
        sock = socket.socket(self.family, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.address[0] == "127.0.0.1" and sys.platform == "linux":
            # Every address of 127/8 is this machine's. A reset leaves no TIME_WAIT, which would
            # block the port.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            sock.bind((f"127.0.{self.number + 1}.{number // CLIENTS_PER_ADDRESS + 1}", 0))
        return sock


async def main() -> None:
    """Read the plan from the first line, and run the commands of the others."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    lines = asyncio.StreamReader(limit=16 * 1024 * 1024)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    generator = Generator(orjson.loads(await lines.readline()))
    await generator.run(lines)


if __name__ == "__main__":
    uvloop.run(main())
