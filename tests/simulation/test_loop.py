"""The event loop on virtual time."""

import asyncio
import contextvars

import pytest

from pushhub.testing.simulation.loop import (
    PROCESS,
    BusyLoop,
    Deadlock,
    Process,
    SimulatedLoop,
    kill,
)
from pushhub.testing.simulation.network import Network


def run(story: object) -> object:
    loop = SimulatedLoop()
    Network(loop)
    try:
        return loop.run_until_complete(story)  # type: ignore[arg-type]
    finally:
        loop.close()


def test_time_passes_only_by_timers() -> None:
    async def story() -> float:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await asyncio.gather(asyncio.sleep(86_400), asyncio.sleep(3600))
        return loop.time() - begun

    assert run(story()) == 86_400


def test_what_waits_for_nothing_is_told() -> None:
    async def story() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Deadlock):
        run(story())


def test_a_loop_without_a_pause_is_told() -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()

        def again() -> None:
            loop.call_soon(again)

        again()
        await asyncio.sleep(1)

    with pytest.raises(BusyLoop):
        run(story())


def test_a_killed_process_does_nothing_more() -> None:
    done: list[str] = []

    async def work() -> None:
        await asyncio.sleep(1)
        done.append("one")
        await asyncio.sleep(1)
        done.append("two")

    async def story() -> None:
        process, context = Process("node"), contextvars.copy_context()
        context.run(PROCESS.set, process)
        task = asyncio.get_running_loop().create_task(work(), context=context)
        await asyncio.sleep(1.5)
        kill(process)
        await asyncio.sleep(10)
        assert not task.done()

    run(story())
    assert done == ["one"]


def test_a_connection_has_latency_and_an_end() -> None:
    seen: list[tuple[str, float]] = []

    class Server(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            seen.append((data.decode(), asyncio.get_running_loop().time()))
            self.transport.write(b"pong")  # type: ignore[attr-defined]

        def connection_lost(self, exc: Exception | None) -> None:
            seen.append(("lost", asyncio.get_running_loop().time()))

    class Client(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            seen.append((data.decode(), asyncio.get_running_loop().time()))

    async def story() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimulatedLoop)
        loop.network.latency = 0.5
        loop.network.listen("server", 1, Server)
        begun = loop.time()
        end, _ = await loop.create_connection(Client, "server", 1)
        end.write(b"ping")
        await asyncio.sleep(2)
        end.close()
        await asyncio.sleep(2)
        assert [(what, round(at - begun, 3)) for what, at in seen] == [
            ("ping", 1.0),
            ("pong", 1.5),
            ("lost", 3.0),
        ]

    run(story())


def test_a_connection_that_is_refused() -> None:
    async def story() -> None:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.get_running_loop().create_connection(asyncio.Protocol, "nowhere", 1)

    run(story())
