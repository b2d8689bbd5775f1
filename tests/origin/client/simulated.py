"""A scripted origin and the client of origins on the simulation's network. Time is virtual."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

from pushhub.origin.client.pool import OriginClient
from pushhub.origin.client.slots import PoolLimits
from pushhub.testing.simulation.loop import SimulatedLoop
from pushhub.testing.simulation.network import Network
from tests.origin.scripted import Act, Call, Scripted

HOST, PORT = "origin", 80
URL = f"http://{HOST}:{PORT}"


def virtual_loop() -> SimulatedLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimulatedLoop)
    return loop


@dataclass
class SimulatedOrigin(Scripted):
    """A scripted origin that listens on the network in memory."""

    async def __aenter__(self) -> Self:
        loop = virtual_loop()
        self._tasks: set[asyncio.Task[None]] = set()

        def accept() -> asyncio.Protocol:
            return asyncio.StreamReaderProtocol(asyncio.StreamReader(), self._connected, loop)

        loop.network.listen(HOST, PORT, accept)
        return self

    async def __aexit__(self, *_: object) -> None:
        virtual_loop().network.unlisten(HOST, PORT)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)


@asynccontextmanager
async def client_of(
    *,
    connect: float = 1.0,
    silent: float = 2.0,
    connections: int = 3,
    limits: PoolLimits | None = None,
) -> AsyncIterator[OriginClient]:
    """A client on a new network."""
    Network(virtual_loop())
    client = OriginClient(connect, silent, limits or PoolLimits.of(connections))
    client.open()
    yield client
    client.close()


@asynccontextmanager
async def origin_and_client(
    acts: dict[str, Act | bytes] | None = None, *, connections: int = 3
) -> AsyncIterator[tuple[SimulatedOrigin, OriginClient]]:
    """An origin, and a client of it."""
    async with (
        client_of(connections=connections) as client,
        SimulatedOrigin(None, acts or {}) as origin,  # type: ignore[arg-type]
    ):
        yield origin, client


async def never(call: Call) -> None:
    """Receive a request, and never respond."""
    await call.reader.read()
