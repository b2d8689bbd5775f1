"""Every deadline of a connection, set to a second or two: who is slow is cut off, and nobody else
notices.
"""

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.server.http1.conftest import connections, unharmed
from tests.server.http1.exchange import Talk, parse
from tests.server.http1.holding import Holds
from tests.server.http1.table import get, post
from tests.serving import Server, events_of, fresh, serve

HEAD, BODY, KEEP_ALIVE, WRITE = 1.0, 1.5, 2.0, 2.0
# By how much one of them is late at most where the machine does much else. What puts it off by a
# byte now and then goes on for longer.
LATE = 3.0


@pytest.fixture(scope="module")
def _short() -> Iterator[Server]:
    with serve(
        "front",
        head_seconds=HEAD,
        body_seconds=BODY,
        keep_alive_seconds=KEEP_ALIVE,
        write_seconds=WRITE,
    ) as server:
        yield server


@pytest.fixture
def hub(_short: Server) -> Iterator[Server]:
    """A front in a hurry."""
    yield _short
    unharmed(_short)


async def drip(talk: Talk, raw: bytes) -> float:
    """Send a byte every twentieth of a second until the server has enough; say when that was."""
    begun = time.monotonic()
    for at in range(len(raw)):
        await talk.send(raw[at : at + 1])
        if await talk.more(0.05):
            break
    await talk.end()
    return time.monotonic() - begun


@pytest.mark.parametrize("start", [b"", get(), get(b"/livez")], ids=["first", "endpoint", "page"])
async def test_a_slow_head(hub: Server, start: bytes) -> None:
    """The deadline is for the whole head: another byte now and then does not put it off."""
    async with await Talk.open(hub.port) as talk:
        if start:
            await talk.send(start)
            await talk.answers(1)
        before = len(talk.data)
        seconds = await drip(
            talk, b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"a" * 100
        )
        seen = parse(talk.data[before:], ended=True)
        assert seen.statuses == [408]
        assert HEAD <= seconds < HEAD + LATE
        document = json.loads(seen.answers[0][1])
        assert document["type"] == "urn:pushhub:problem:timeout"
        assert "1 seconds" in document["detail"]


@pytest.mark.parametrize(
    "raw",
    [
        post(b"", b"Content-Length: 1000") + b"a" * 200,
        post(b"", b"Transfer-Encoding: chunked") + b"3e8\r\n" + b"a" * 200,
        post(b"", b"Transfer-Encoding: chunked") + b"1\r\na\r\n" * 50,
        post(b"", b"Transfer-Encoding: chunked") + b"0\r\n" + b"a: b\r\n" * 50,
    ],
    ids=["length", "chunk", "chunks", "trailers"],
)
async def test_a_slow_body(hub: Server, raw: bytes) -> None:
    end = raw.index(b"\r\n\r\n") + 4
    async with await Talk.open(hub.port) as talk:
        await talk.send(raw[:end])
        seconds = await drip(talk, raw[end:])
        assert parse(talk.data, ended=True).statuses == [408]
        assert BODY <= seconds < BODY + LATE


@pytest.mark.parametrize(
    ("start", "count"),
    [(b"", 0), (b"\r\n", 0), (get(), 1), (get(b"/livez"), 1)],
    ids=["nothing", "empty-line", "endpoint", "page"],
)
async def test_an_idle_connection(hub: Server, start: bytes, count: int) -> None:
    begun = time.monotonic()
    async with await Talk.open(hub.port) as talk:
        await talk.send(start)
        await talk.end()
        assert len(parse(talk.data, ended=True).statuses) == count
        assert KEEP_ALIVE - 0.4 <= time.monotonic() - begun < KEEP_ALIVE + LATE


async def test_empty_lines_do_not_keep_a_connection(hub: Server) -> None:
    async with await Talk.open(hub.port) as talk:
        seconds = await drip(talk, b"\r\n" * 200)
        assert talk.data == b""
        assert KEEP_ALIVE - 0.2 <= seconds < KEEP_ALIVE + LATE


async def test_a_held_request_is_not_idle(hub: Server) -> None:
    """A hold longer than all of these deadlines, and the whole idle time after it."""
    channel = fresh()
    async with await Talk.open(hub.port) as talk:
        await talk.send(get(f"{events_of(channel)}?since=now".encode(), b"Prefer: wait=30"))
        await hub.held(1)
        await asyncio.sleep(KEEP_ALIVE + 0.5)
        await hub.publish(channel, 1)
        assert (await talk.answers(1)).statuses == [200]
        await asyncio.sleep(KEEP_ALIVE / 2)
        await talk.send(get())
        assert (await talk.answers(2)).statuses == [200, 200]


def memory(server: Server) -> int:
    """Resident bytes of the process."""
    with open(f"/proc/{server.process.pid}/statm") as file:
        return int(file.read().split()[1]) * 4096


def narrow(port: int) -> socket.socket:
    """A connection whose kernel takes in almost nothing."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    client.connect(("127.0.0.1", port))
    client.setblocking(False)
    return client


async def readable(client: socket.socket) -> None:
    """Wait until the server has begun to respond, and read nothing."""
    loop, begun = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(client, begun.set)
    try:
        async with asyncio.timeout(WRITE + 20):
            await begun.wait()
    finally:
        loop.remove_reader(client)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What is to be closed, whatever happens."""
    with ExitStack() as stack:
        yield stack


async def test_readers_that_do_not_read_are_disconnected(hub: Server, stack: ExitStack) -> None:
    """Forty readers ask for gigabytes and read nothing: they cost the server megabytes, and are cut
    off; 500 holds are answered meanwhile and afterwards.
    """
    large = fresh("large")
    # More than the kernel takes in for a connection (4 MB).
    for _ in range(32):
        await hub.publish(large, "x" * 250_000)
    loop = asyncio.get_running_loop()
    async with Holds(hub, 500) as holds:
        before = memory(hub)
        clients = [stack.enter_context(narrow(hub.port)) for _ in range(40)]
        for index, client in enumerate(clients):
            # A limit of its own, so that no answer is shared with another reader.
            target = f"{events_of(large)}?since=earliest&limit={100 + index}".encode()
            streaming = get(target, b"Accept: text/event-stream")
            begun = time.monotonic()
            await loop.sock_sendall(client, streaming if index % 2 else get(target) * 500)
        for client in clients:
            await readable(client)
        while connections(hub) > 500:
            grown = memory(hub) - before
            # One answer each, of 1 MiB at most, and a little.
            assert grown < 40 * 1_300_000, f"grown by {grown:,} bytes"
            await holds.publish()
            await asyncio.sleep(0.2)
            assert time.monotonic() - begun < WRITE + 20
        assert time.monotonic() - begun > WRITE - 1, "the last was not given its time"
        await holds.publish()
        assert holds.rounds >= 2


async def test_a_client_that_sends_but_does_not_read_fills_only_the_kernel(hub: Server) -> None:
    """Requests that follow each other without their answers being read stay with the kernel."""
    large = fresh("large")
    await hub.publish(large, "x" * 250_000)
    before = memory(hub)
    client = narrow(hub.port)
    flood = get(f"{events_of(large)}?since=earliest".encode(), b"X-Pad: " + b"y" * 8000)
    loop = asyncio.get_running_loop()
    sent = 0
    try:
        async with asyncio.timeout(WRITE + 20):
            while True:
                await loop.sock_sendall(client, flood * 100)
                sent += 100 * len(flood)
                # The kernel takes in six megabytes for the server.
                assert sent < 12_000_000, "it takes in whatever is sent"
    except ConnectionError:
        pass
    assert memory(hub) - before < 30_000_000
    client.close()
