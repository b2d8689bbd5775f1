"""Tunnels count, have a limit, and end."""

import asyncio
import re

import pytest

from pushhub.http.problem import Problem
from pushhub.origin.tunnels import Tunnels
from tests.origin.scripted import Call, Scripted, Wire, get
from tests.serving import Server, serve

SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: x\r\n\r\n"
)
UPGRADE = (
    *("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
)


def test_limits_of_the_process_and_of_a_client() -> None:
    tunnels = Tunnels(3, 2, 60)
    first, second = tunnels.begin("a"), tunnels.begin("a")
    with pytest.raises(Problem) as refused:
        tunnels.begin("a")
    assert refused.value.status == 429
    tunnels.begin("b")
    with pytest.raises(Problem) as refused:
        tunnels.begin("c")
    assert refused.value.slug == "overloaded"
    for _ in range(2):
        first.end()
    second.end()
    assert len(tunnels) == 1
    tunnels.begin("a")


async def _echo(call: Call) -> None:
    await call.send(SWITCH)
    while data := await call.reader.read(65536):
        await call.send(data)


async def _open(server: Server, address: str) -> tuple[Wire, bytes]:
    wire = await Wire.to(server.port)
    wire.send(get("/ws", *UPGRADE, f"X-Forwarded-For: {address}"))
    return wire, await wire.head()


async def _count(server: Server) -> int:
    answer = await server.get("/_pushhub/metrics")
    found = re.search(rb"^pushhub_tunnels (\d+)$", answer.body, re.MULTILINE)
    assert found
    return int(found[1])


async def test_tunnels_are_limited_and_counted(origin: Scripted) -> None:
    origin.acts["/ws"] = _echo
    url = f"http://127.0.0.1:{origin.port}"
    with serve(origin=url, max_tunnels=3, max_tunnels_per_address=2) as server:
        wires = []
        for address in ("203.0.113.1", "203.0.113.1", "203.0.113.2"):
            wire, head = await _open(server, address)
            assert head.startswith(b"HTTP/1.1 101 ")
            wire.send(b"hello")
            assert await wire.exactly(5) == b"hello"
            wires.append(wire)
        assert await _count(server) == 3
        wire, head = await _open(server, "203.0.113.1")
        assert head.startswith(b"HTTP/1.1 429 ")
        assert b"retry-after" in head.lower()
        wire.writer.close()
        wire, head = await _open(server, "203.0.113.3")
        assert head.startswith(b"HTTP/1.1 503 ")
        wire.writer.close()
        wires.pop().writer.close()
        async with asyncio.timeout(10):
            while await _count(server) != 2:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        wire, head = await _open(server, "203.0.113.1")
        assert head.startswith(b"HTTP/1.1 429 ")
        wire.writer.close()
        wire, head = await _open(server, "203.0.113.4")
        assert head.startswith(b"HTTP/1.1 101 ")
        for one in (wire, *wires):
            one.writer.close()


async def test_a_tunnel_whose_client_does_not_read_ends(origin: Scripted) -> None:
    """Bytes are bounded by back-pressure, and the time by `write_seconds`."""
    ended = asyncio.Event()

    async def flood(call: Call) -> None:
        await call.send(SWITCH)
        try:
            while True:
                await call.send(bytes(65536))
        finally:
            ended.set()

    origin.acts["/ws"] = flood
    with serve(origin=f"http://127.0.0.1:{origin.port}", write_seconds=1) as server:
        wire = await Wire.to(server.port)
        wire.send(get("/ws", *UPGRADE))
        await wire.head()
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
        async with asyncio.timeout(20):
            await ended.wait()
        assert await _count(server) == 0
        wire.writer.close()
