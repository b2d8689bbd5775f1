"""Clients that disconnect, and many that come: the origin is notified, and nothing is kept."""

import asyncio
import socket
import struct
from typing import Any

import uvloop

from pushhub.origin.client.connection import UpstreamConnection
from tests.origin.conftest import listening
from tests.origin.local_front import LocalFront
from tests.origin.scripted import Call, Scripted, Wire, get
from tests.serving import Server
from tests.waiting import until


async def test_a_client_that_goes_takes_its_request_along(
    passing: Server, origin: Scripted
) -> None:
    gone = asyncio.Event()

    async def act(call: Call) -> None:
        await call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n1")
        try:
            await call.reader.read()
        except ConnectionError:
            pass
        gone.set()

    origin.acts["/x"] = act
    async with await Wire.to(passing.port) as wire:
        wire.send(get("/x"))
        await wire.head()
    async with asyncio.timeout(10):
        await gone.wait()


async def test_a_client_that_resets_in_its_upload(front: Server, origin: Scripted) -> None:
    ended = asyncio.Event()

    async def act(call: Call) -> None:
        try:
            await call.body()
        except (asyncio.IncompleteReadError, ConnectionError):
            ended.set()
            raise

    origin.acts["/up"] = act
    async with await Wire.to(front.port) as wire:
        wire.send(get("/up", "Content-Length: 100000", method="PUT") + b"x" * 50_000)
        while not origin.calls:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        sock = wire.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    async with asyncio.timeout(10):
        await ended.wait()


async def test_a_thousand_urls_a_second(front: Server, origin: Scripted) -> None:
    """Nothing is remembered of an address: memory stays where it is."""

    async def some(count: int, begin: int) -> None:
        async with await Wire.to(front.port) as wire:
            for n in range(begin, begin + count):
                wire.send(get(f"/thing/{n}?{'q' * 500}", f"X-Unique: {n}"))
                await wire.head()

    def memory() -> int:
        with open(f"/proc/{front.process.pid}/statm") as statm:
            return int(statm.read().split()[1]) * 4

    await asyncio.gather(*(some(300, n * 300) for n in range(10)))
    before = memory()
    await asyncio.gather(*(some(300, 5000 + n * 300) for n in range(10)))
    assert memory() - before < 8 * 1024, "KiB"
    origin.calls.clear()


class RecordingLoop(uvloop.Loop):
    """A loop that knows the connections to origins that it has made."""

    def __init__(self) -> None:
        self.upstream: list[UpstreamConnection] = []

    async def create_connection(self, *given: Any, **more: Any) -> Any:
        transport, protocol = await super().create_connection(*given, **more)
        if isinstance(protocol, UpstreamConnection):
            self.upstream.append(protocol)
        return transport, protocol


def test_an_interim_response_for_a_client_that_has_just_gone() -> None:
    """uvloop takes a write to a closed connection for a mistake."""

    async def never(call: Call) -> None:
        await asyncio.Event().wait()

    async def asks_and_goes(sock: socket.socket) -> None:
        mistakes: list[object] = []
        loop = asyncio.get_running_loop()
        assert isinstance(loop, RecordingLoop)
        loop.set_exception_handler(lambda _, context: mistakes.append(context))
        async with (
            Scripted(sock, {"/slow": never}) as origin,
            LocalFront(origin=f"http://127.0.0.1:{origin.port}") as front,
            await Wire.to(front.port) as wire,
        ):
            wire.send(get("/slow"))
            await until(lambda: len(origin.calls) == 1)
            (link,) = loop.upstream
            (connection,) = front.connections
            connection.transport.abort()
            # When that is done, and the passage does not know it yet.
            loop.call_soon(link.data_received, b"HTTP/1.1 103 Early Hints\r\n\r\n")
            await until(lambda: link.transport.is_closing())
        assert not mistakes

    with listening() as sock, asyncio.Runner(loop_factory=RecordingLoop) as runner:
        runner.run(asks_and_goes(sock))
