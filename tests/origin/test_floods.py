"""Floods from one address: memory is bounded, and other clients are served as before.

Loopback counts for no limit by address, so the attackers forge addresses behind a trusted proxy.
"""

import asyncio
import statistics
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.api.test_heads import KEY
from tests.origin.scripted import Scripted, Wire, get
from tests.serving import Server, serve

MIB = 1024 * 1024
ATTACKERS = 200
DRIPS = 100
# The issue has 68 → 814 MB; the budget is 64 MiB, and the rest is of connections and the allocator.
GROWTH = 40 * MIB
# A response takes some milliseconds; with the fault it took `origin_connect_seconds`, and was 504.
SOON = 2.0
REFUSED = 'pushhub_body_refused_total{limit="process"}'


def resident(server: Server) -> int:
    statm = Path(f"/proc/{server.process.pid}/statm").read_text()
    return int(statm.split()[1]) * 4096


async def _upload(port: int, raw: bytes, size: int) -> bytes:
    """Send a body until the server closes; returns its response."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(30):
            writer.write(raw)
            for _ in range(size // 65536):
                writer.write(bytes(65536))
                await writer.drain()
            return await reader.read(65536)
    except ConnectionError:
        return b""
    finally:
        writer.transport.abort()


async def _hang_up(wires: list[Wire]) -> None:
    for wire in wires:
        wire.writer.transport.abort()
        with suppress(ConnectionError):
            await wire.writer.wait_closed()


async def _largest(server: Server, work: asyncio.Future[list[bytes]]) -> int:
    """The largest memory of the server while `work` is done."""
    largest = 0
    while not work.done():
        largest = max(largest, resident(server))
        await asyncio.wait([work], timeout=0.02)
    return largest


@pytest.mark.parametrize("path", ["/v1/publish", "/publish/", "/v1/channels/news/events"])
async def test_uploads_without_a_credential_take_no_memory(path: str) -> None:
    with serve(dev=False, api_keys=[KEY], store="memory://") as server:
        await server.get("/livez")
        before = resident(server)
        # 3.9 MiB each, or 780 MiB together; the events of one channel have a smaller limit.
        size = 60 * 65536 if "channels" not in path else 3 * 65536
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {size + 1}\r\n\r\n".encode()
        flood = asyncio.gather(*(_upload(server.port, head, size) for _ in range(ATTACKERS)))
        largest = await _largest(server, flood)
        responses = [response for response in await flood if response]
        assert responses
        assert all(response.startswith(b"HTTP/1.1 401 ") for response in responses)
        assert largest - before < GROWTH
        assert (await server.get("/livez")).status == 200


async def test_one_address_gets_its_share_of_the_budget_and_others_go_on() -> None:
    """BOSH has no credential in its head, so the budget alone bounds it."""
    share = 4 * MIB
    given: dict[str, Any] = {"max_body_bytes": 16 * MIB, "max_body_bytes_per_address": share}
    with serve(xmpp_domains=["localhost"], **given) as server:
        await server.get("/livez")
        before = resident(server)
        size = 200_000
        head = (
            f"POST /http-bind HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n"
            "X-Forwarded-For: 203.0.113.9\r\n\r\n"
        ).encode()
        wires = [await Wire.to(server.port) for _ in range(ATTACKERS)]
        for wire in wires:
            wire.send(head + bytes(size - 1))
        async with asyncio.timeout(20):
            refused = await asyncio.gather(*(wire.reader.read(12) for wire in wires[-50:]))
        # On a BOSH route 503 takes the place of 429: a client repeats the request after it.
        assert set(refused) == {b"HTTP/1.1 503"}
        used = await server.metric("pushhub_body_bytes")
        assert 0 < used <= share
        assert resident(server) - before < GROWTH
        # Another address sends a body in pieces.
        async with await Wire.to(server.port) as other:
            other.send(head.replace(b"203.0.113.9", b"203.0.113.10") + bytes(size - 1))
            other.send(b"x")
            assert (await other.head()).startswith(b"HTTP/1.1 200 ")
        await _hang_up(wires)
        async with asyncio.timeout(20):
            while await server.metric("pushhub_body_bytes"):  # noqa: ASYNC110
                await asyncio.sleep(0.05)


async def test_long_heads_count_too() -> None:
    with serve(max_body_bytes=4 * MIB) as server:
        wires = [await Wire.to(server.port) for _ in range(300)]
        for wire in wires:
            wire.send(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: " + b"a" * 15_000 + b"\r\n")
            wire.send(b"Y: " + b"a" * 10_000)
        async with asyncio.timeout(20):
            while not await server.metric(REFUSED):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert await server.metric("pushhub_body_bytes") <= 4 * MIB
        await _hang_up(wires)


async def _latencies(server: Server, count: int) -> list[float]:
    found = []
    for _ in range(count):
        begun = time.monotonic()
        async with await Wire.to(server.port) as wire:
            wire.send(get("/plain", "X-Forwarded-For: 198.51.100.1"))
            assert (await wire.head()).startswith(b"HTTP/1.1 200 ")
        found.append(time.monotonic() - begun)
    return found


FRAMINGS = {
    "small": (["Content-Length: 1000"], b"a"),
    "large": (["Content-Length: 1000000"], b"a"),
    "chunked": (["Transfer-Encoding: chunked"], b"1\r\na\r\n"),
    "expects": (["Content-Length: 1000", "Expect: 100-continue"], b"a"),
}


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_drip_uploads_leave_the_origin_to_others(framing: str, origin: Scripted) -> None:
    """A hundred uploads from as many addresses, each a byte now and then, on eight connections."""
    lines, piece = FRAMINGS[framing]
    url = f"http://127.0.0.1:{origin.port}"
    given: dict[str, Any] = {
        "origin_connections": 8,
        "origin_connect_seconds": 1,
        "body_seconds": 3,
    }
    with serve(origin=url, **given) as server:
        quiet = await _latencies(server, 10)
        wires = []
        for number in range(DRIPS):
            wire = await Wire.to(server.port)
            wire.send(get("/up", *lines, f"X-Forwarded-For: 203.0.113.{number}", method="POST"))
            wire.send(piece)
            wires.append(wire)
        loud = await _latencies(server, 10)
        for wire in wires[::2]:
            wire.send(piece)
        loud += await _latencies(server, 10)
        assert max(loud) < SOON, (statistics.median(quiet), loud)
        # The drips end: 408 while a body is awaited, 503 without a connection in time.
        async with asyncio.timeout(20):
            starts = await asyncio.gather(*(wire.reader.read(12) for wire in wires))
        expected = {b"HTTP/1.1 408"} if framing == "small" else {b"HTTP/1.1 408", b"HTTP/1.1 503"}
        assert set(starts) <= expected
        await _hang_up(wires)
        assert max(await _latencies(server, 5)) < SOON


async def test_one_address_has_a_share_of_the_pool(origin: Scripted) -> None:
    held = asyncio.Event()

    async def never(call: object) -> None:
        held.set()
        await asyncio.sleep(60)

    origin.acts["/never"] = never
    url = f"http://127.0.0.1:{origin.port}"
    with serve(origin=url, origin_connections=8, origin_connect_seconds=1) as server:
        wires = [await Wire.to(server.port) for _ in range(20)]
        for wire in wires:
            wire.send(get("/never", "X-Forwarded-For: 203.0.113.9"))
        await held.wait()
        assert max(await _latencies(server, 10)) < SOON
        async with asyncio.timeout(20):
            starts = await asyncio.gather(*(wire.reader.read(12) for wire in wires[2:]))
        assert set(starts) == {b"HTTP/1.1 429"}
        await _hang_up(wires)


async def test_a_steady_slow_upload_is_no_drip(origin: Scripted) -> None:
    """A body at more than the least rate passes, however long it takes."""
    url = f"http://127.0.0.1:{origin.port}"
    with serve(origin=url, body_seconds=1, min_body_rate=100) as server:
        async with await Wire.to(server.port) as wire:
            wire.send(get("/up", "Content-Length: 1000", method="POST"))
            for _ in range(20):
                wire.send(b"a" * 50)
                await asyncio.sleep(0.15)
            assert (await wire.head()).startswith(b"HTTP/1.1 200 ")


async def test_a_drip_on_plain_asgi_ends(origin: Scripted) -> None:
    url = f"http://127.0.0.1:{origin.port}"
    with serve("asgi", origin=url, body_seconds=1) as server:
        async with await Wire.to(server.port) as wire:
            wire.send(get("/up", "Content-Length: 1000", method="POST") + b"a")
            assert (await wire.head()).startswith(b"HTTP/1.1 408 ")
        assert not origin.calls
