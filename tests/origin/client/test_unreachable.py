"""Origins that cannot be reached, or that are silent: the problem that a client gets. The deadlines
themselves are tested on virtual time (test_connection.py, test_pool.py).
"""

import asyncio
import socket

from tests.origin.problems import PAGE, from_page, refused
from tests.origin.scripted import Call, Scripted, Wire, get
from tests.ports import free_port
from tests.serving import Server, serve


async def test_an_origin_that_is_down() -> None:
    port = free_port()
    with serve(origin=f"http://127.0.0.1:{port}", cors_origins=[PAGE]) as server:
        for _ in range(3):
            assert await refused(server.port, from_page("/x")) == (502, "origin-unreachable")
        # It is back: nobody remembers.
        with socket.socket() as again:
            again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            again.bind(("127.0.0.1", port))
            async with Scripted(again) as origin:
                async with await Wire.to(server.port) as wire:
                    wire.send(get("/x"))
                    assert (await wire.head()).startswith(b"HTTP/1.1 200 ")
                assert len(origin.calls) == 1


async def test_a_name_that_is_nobodys() -> None:
    with serve(origin="http://nobody.invalid", cors_origins=[PAGE]) as server:
        assert await refused(server.port, from_page("/x")) == (502, "origin-unreachable")


async def test_an_origin_that_does_not_accept() -> None:
    """Its queue is full: a connection is never made."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        fillers = []
        for _ in range(3):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
            fillers.append(filler)
        with serve(
            origin=f"http://127.0.0.1:{port}", cors_origins=[PAGE], origin_connect_seconds=0.3
        ) as server:
            status, problem = await refused(server.port, from_page("/x"))
        for filler in fillers:
            filler.close()
    if (status, problem) != (502, "bad-gateway"):  # a kernel may make one after all
        assert (status, problem) == (504, "origin-timeout")


async def test_no_connection_is_free(origin: Scripted) -> None:
    async def never(call: Call) -> None:
        await call.reader.read()

    origin.acts["/never"] = never
    with serve(
        origin=f"http://127.0.0.1:{origin.port}",
        cors_origins=[PAGE],
        origin_connections=1,
        origin_connect_seconds=1,
    ) as server:
        async with await Wire.to(server.port) as wire:
            wire.send(get("/never"))
            while not origin.calls:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            assert await refused(server.port, from_page("/x")) == (504, "origin-timeout")
        # Who waited has gone: there is room again.
        async with await Wire.to(server.port) as wire:
            wire.send(get("/x"))
            assert (await wire.head()).startswith(b"HTTP/1.1 200 ")


async def test_an_origin_that_says_nothing(front: Server, origin: Scripted) -> None:
    async def act(call: Call) -> None:
        await call.reader.read()

    origin.acts["/slow"] = act
    assert await refused(front.port, from_page("/slow")) == (504, "origin-timeout")


async def test_half_a_head(front: Server, origin: Scripted) -> None:
    async def act(call: Call) -> None:
        await call.send(b"HTTP/1.1 200 OK\r\nContent-Le")
        await call.reader.read()

    origin.acts["/slow"] = act
    assert await refused(front.port, from_page("/slow")) == (504, "origin-timeout")


async def test_a_body_that_stops(front: Server, origin: Scripted) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"

    async def act(call: Call) -> None:
        await call.send(head + b"12345")
        await call.reader.read()

    origin.acts["/slow"] = act
    async with await Wire.to(front.port) as wire:
        wire.send(get("/slow"))
        assert await wire.rest() == head + b"12345"
