"""A server that leaves while requests pass through, and the lines of its access log."""

import asyncio
import json
import re

import pytest

from tests.origin.scripted import Call, Scripted, Wire, get
from tests.serving import serve

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def _listens(port: int) -> bool:
    try:
        async with await Wire.to(port):
            return True
    except OSError:
        return False


async def test_a_passage_is_finished_before_the_server_leaves(origin: Scripted) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def act(call: Call) -> None:
        asked.set()
        await go_on.wait()
        await call.send(OK)

    origin.acts["/x"] = act
    with serve(origin=f"http://127.0.0.1:{origin.port}") as server:
        async with await Wire.to(server.port) as wire:
            wire.send(get("/x"))
            await asked.wait()
            server.signal()
            while await _listens(server.port):
                pass
            go_on.set()
            answer = await wire.rest()
        assert answer == OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        assert await server.left() == 0


@pytest.mark.parametrize("ends", [True, False])
async def test_half_an_answer_is_none_when_the_server_leaves(ends: bool, origin: Scripted) -> None:
    """Its end is the connection's, which must not look like one: the reader was too slow."""

    async def act(call: Call) -> None:
        await call.send(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(40_000_000 if ends else 4_000_000))
        if not ends:
            await asyncio.Event().wait()

    origin.acts["/x"] = act
    with serve(origin=f"http://127.0.0.1:{origin.port}") as server:
        async with await Wire.to(server.port) as wire:
            wire.send(get("/x"))
            await wire.head()
            # Once to leave, and once to wait for nobody.
            server.signal()
            await asyncio.to_thread(server.output.find, re.compile("server.draining"), 10)
            server.signal()
            left = asyncio.create_task(server.left())
            assert (await wire.rest()).endswith(b"<reset>")
            await left


async def test_the_access_log_has_a_line_for_each(origin: Scripted) -> None:
    origin.acts["/x?secret=1"] = OK
    with serve(origin=f"http://127.0.0.1:{origin.port}", access_log=True) as server:
        async with await Wire.to(server.port) as wire:
            wire.send(get("/x?secret=1"))
            await wire.exactly(len(OK))
        server.signal()
        await server.left()
        lines = [json.loads(line) for line in server.output.lines if '"request"' in line]
    assert [(e["method"], e["path"], e["status"], e["bytes"]) for e in lines] == [
        ("GET", "/x", 200, 2)
    ]
