"""Origins that are down, slow, broken, or lie, and clients that go: nobody else is disturbed."""

import asyncio
import json
import re
import socket
import struct
import time

import pytest
import uvloop

from pushhub.origin.client.pool import ConnectionPool
from tests.origin.client.test_repeats import Front
from tests.origin.conftest import listening
from tests.origin.scripted import Call, Scripted, Wire, get
from tests.ports import free_port
from tests.serving import Server, serve
from tests.waiting import until

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PAGE = "https://page.example"


async def refused(port: int, request: bytes, seconds: float = 10) -> tuple[int, str]:
    """The status and problem of an answer; a page of another origin can read it."""
    async with await Wire.to(port) as wire:
        wire.send(request)
        head = (await wire.head(seconds)).lower()
        length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
        body = json.loads(await wire.exactly(length))
        # Of any origin, in development.
        assert b"\r\naccess-control-allow-origin: *\r\n" in head
        assert body["detail"]
        # The connection is as good as before.
        wire.send(get("/_pushhub/livez"))
        assert (await wire.head()).startswith(b"HTTP/1.1 200 ")
    return int(head.split()[1]), body["type"].rpartition(":")[2]


def from_page(path: str) -> bytes:
    return get(path, f"Origin: {PAGE}")


# -- origins that are not there ------------------------------------------------


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
            begun = time.monotonic()
            status, problem = await refused(server.port, from_page("/x"))
            assert time.monotonic() - begun < 4.5, "five seconds are the default"
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


# -- origins that are slow -----------------------------------------------------


async def test_an_origin_that_says_nothing(front: Server, origin: Scripted) -> None:
    async def act(call: Call) -> None:
        await call.reader.read()

    origin.acts["/slow"] = act
    begun = time.monotonic()
    assert await refused(front.port, from_page("/slow")) == (504, "origin-timeout")
    assert 1.9 < time.monotonic() - begun < 8


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


async def test_a_slow_origin_is_not_a_silent_one(front: Server, origin: Scripted) -> None:
    """It may take as long as it likes, if only it says something now and then."""

    async def act(call: Call) -> None:
        await call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")
        for _ in range(6):
            await asyncio.sleep(0.5)
            await call.send(b".")

    origin.acts["/slow"] = act
    async with await Wire.to(front.port) as wire:
        wire.send(get("/slow"))
        await wire.head()
        assert await wire.exactly(6) == b"......"


# -- origins that break off ----------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nConte",
        b"HTTP/1.1 103 Early Hints\r\n",
    ],
)
@pytest.mark.parametrize("resets", [True, False])
async def test_an_end_in_the_head(
    said: bytes, resets: bool, front: Server, origin: Scripted
) -> None:
    async def act(call: Call) -> None:
        await call.send(said)
        if resets:
            call.reset()
        raise ConnectionError

    origin.acts["/x"] = act
    assert await refused(front.port, from_page("/x")) == (502, "bad-gateway")


@pytest.mark.parametrize(
    "begun",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n12345",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n",
    ],
)
@pytest.mark.parametrize("resets", [True, False])
async def test_an_end_in_the_body_shows(
    begun: bytes, resets: bool, front: Server, origin: Scripted
) -> None:
    heard = asyncio.Event()

    async def act(call: Call) -> None:
        await call.send(begun)
        if resets:
            # It throws away what has not been read.
            await heard.wait()
            call.reset()
        raise ConnectionError

    origin.acts["/x"] = act
    async with await Wire.to(front.port) as wire:
        wire.send(get("/x"))
        # As far as it came, and then the connection ends without the end of the body.
        assert await wire.exactly(len(begun)) == begun
        heard.set()
        assert await wire.rest() in (b"", b"<reset>")


async def test_a_reset_in_a_body_without_length_is_a_reset(front: Server, origin: Scripted) -> None:
    heard = asyncio.Event()

    async def act(call: Call) -> None:
        await call.send(b"HTTP/1.1 200 OK\r\n\r\n12345")
        await heard.wait()
        call.reset()
        raise ConnectionError

    origin.acts["/x"] = act
    async with await Wire.to(front.port) as wire:
        wire.send(get("/x"))
        await wire.head()
        assert await wire.exactly(5) == b"12345"
        heard.set()
        assert await wire.rest() == b"<reset>"


# -- origins that make no sense ------------------------------------------------


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x00\x05hello",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"HTTP/1.1 200OK\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nNo colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n: no name\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nNa me: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
        # Response splitting: what somebody put into a value must not become a line.
        b"HTTP/1.1 200 OK\r\nLocation: /a\nSet-Cookie: x=1\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nLocation: /a\rSet-Cookie: x=1\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nok!",
        b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2x\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999999\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 103 Hint\r\n\r\n" * 100 + OK,
        b"x" * 200_000,
    ],
)
async def test_garbage_is_a_bad_gateway(garbage: bytes, front: Server, origin: Scripted) -> None:
    origin.acts["/x"] = garbage
    if garbage.startswith(b"HTTP/1.1 103"):
        async with await Wire.to(front.port) as wire:
            wire.send(get("/x"))
            heads = [await wire.head() for _ in range(17)]
        assert heads[-1].startswith(b"HTTP/1.1 502 ")
        return
    assert await refused(front.port, from_page("/x")) == (502, "bad-gateway")
    async with await Wire.to(front.port) as wire:
        wire.send(get("/fine"))
        assert (await wire.head()).startswith(b"HTTP/1.1 200 ")


async def test_chunks_that_are_none(front: Server, origin: Scripted) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    origin.acts["/x"] = head + b"5\r\nhello\r\nzz\r\nmore"
    async with await Wire.to(front.port) as wire:
        wire.send(get("/x"))
        heard = await wire.rest()
    assert heard.startswith(head) or heard == b""
    assert not heard.endswith(b"0\r\n\r\n")


async def test_more_than_the_length_is_for_nobody(front: Server, origin: Scripted) -> None:
    """A response that is hidden behind another must not answer the next request."""
    poison = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
    for late in (False, True):
        heard, seen = asyncio.Event(), asyncio.Event()

        async def act(
            call: Call,
            late: bool = late,
            heard: asyncio.Event = heard,
            seen: asyncio.Event = seen,
        ) -> None:
            # One byte too many, and then an answer to whatever comes next on the connection.
            if late:
                await call.send(OK)
                await heard.wait()
                await call.send(b"H")
            else:
                await call.send(OK + b"H")
            if await call.reader.read(1):
                await call.reader.readuntil(b"\r\n\r\n")
                await call.send(poison)
                await call.reader.read()
            seen.set()

        origin.acts["/x"] = act
        async with await Wire.to(front.port) as wire:
            wire.send(get("/x"))
            assert await wire.exactly(len(OK)) == OK
            heard.set()
            if late:
                # Who asks before that byte has come cannot know of it.
                await asyncio.wait_for(seen.wait(), 10)
            wire.send(get("/y"))
            assert await wire.head() == b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


# -- requests and pooled connections -------------------------------------------


async def test_a_connection_is_used_again(front: Server, origin: Scripted) -> None:
    before = origin.connections
    for _ in range(20):
        async with await Wire.to(front.port) as wire:
            wire.send(get("/x"))
            await wire.head()
    assert origin.connections - before == 1


@pytest.mark.parametrize(("method", "status"), [("GET", b"200"), ("PUT", b"200"), ("POST", b"502")])
async def test_a_connection_that_was_closing(
    method: str, status: bytes, front: Server, origin: Scripted
) -> None:
    """The origin takes a request on a kept connection and closes without a word. What may be sent
    twice is; what may not is not.
    """
    times = 0

    async def act(call: Call) -> None:
        nonlocal times
        times += 1
        if times == 1:
            raise ConnectionError
        await call.body()
        await call.send(OK)

    origin.acts["/x"] = act
    async with await Wire.to(front.port) as wire:
        wire.send(get("/first"))
        await wire.head()
        wire.send(get("/x", "Content-Length: 0", method=method))
        assert (await wire.head()).split()[1] == status
    assert times == (2 if status == b"200" else 1)


# -- clients -------------------------------------------------------------------


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


# -- leaving -------------------------------------------------------------------


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
            await asyncio.to_thread(server.output.find, re.compile("leaving"), 10)
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


async def test_a_connection_that_is_just_closing_is_counted_once(origin: Scripted) -> None:
    async with Front(origin=f"http://127.0.0.1:{origin.port}", origin_connections=3) as front:
        async with await Wire.to(front.port) as wire:
            wire.send(get("/x"))
            await wire.head()
        assert front.app.origin is not None
        (pool,) = front.app.origin.client._pools.values()
        (link,) = pool.idle
        link.transport.close()
        # Its end is told when the loop comes to it; somebody looks for a connection before that.
        assert pool.take_idle(link.last_active, 1) is None
        for _ in range(3):
            await asyncio.sleep(0)
        assert not pool.connections
        assert await free(pool) == 3


async def test_whoever_goes_while_a_connection_is_made_is_counted_once(origin: Scripted) -> None:
    async with Front(origin=f"http://127.0.0.1:{origin.port}", origin_connections=3) as front:
        assert front.app.origin is not None
        client = front.app.origin.client
        for steps in range(1, 20):
            asking = asyncio.create_task(
                client.request("POST", f"http://127.0.0.1:{origin.port}/x", ())
            )
            for _ in range(steps):
                await asyncio.sleep(0)
            asking.cancel()
            await asyncio.wait([asking])
            if not asking.cancelled():
                asking.result().close()
            for link in list(next(iter(client._pools.values())).idle):
                link.transport.abort()
        (pool,) = client._pools.values()
        await until(lambda: not pool.connections)
        assert await free(pool) == 3


async def free(pool: ConnectionPool) -> int:
    """How many more connections there may be."""
    count = 0
    while not pool.slots.locked():
        await pool.slots.acquire()
        count += 1
    return count


# -- requests that their head refuses ------------------------------------------


async def test_who_is_refused_by_the_head_is_told_whatever_the_body() -> None:
    refusals = [
        (get("/nowhere", "Content-Length: 3", method="POST") + b"abc", b"404"),
        (get("/nowhere", "Content-Length: 3000000", method="POST") + b"abc", b"404"),
        (get("/nowhere", "Transfer-Encoding: chunked", method="POST"), b"404"),
        (get("/_pushhub/no-page", "Content-Length: 3", method="ODD") + b"abc", b"400"),
    ]
    with serve(routes=[{"path": "/some/*", "target": "http://127.0.0.1:1"}]) as server:
        for raw, status in refusals:
            async with await Wire.to(server.port) as wire:
                wire.send(raw)
                assert (await wire.head()).startswith(b"HTTP/1.1 " + status)
                # What is still sent resets nothing.
                wire.send(b"x" * 100_000)
                assert (await wire.rest()).endswith(b"}")


# -- clients that have just gone -----------------------------------------------


def test_an_interim_response_for_a_client_that_has_just_gone() -> None:
    """uvloop takes a write to a closed connection for a mistake."""

    async def never(call: Call) -> None:
        await asyncio.Event().wait()

    async def asks_and_goes(sock: socket.socket) -> None:
        mistakes: list[object] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: mistakes.append(context))
        async with (
            Scripted(sock, {"/slow": never}) as origin,
            Front(origin=f"http://127.0.0.1:{origin.port}") as front,
            await Wire.to(front.port) as wire,
        ):
            wire.send(get("/slow"))
            await until(lambda: len(origin.calls) == 1)
            assert front.app.origin is not None
            (pool,) = front.app.origin.client._pools.values()
            (link,) = pool.connections
            (connection,) = front.connections
            connection.transport.abort()
            # When that is done, and the passage does not know it yet.
            loop.call_soon(link.data_received, b"HTTP/1.1 103 Early Hints\r\n\r\n")
            await until(lambda: not pool.connections)
        assert not mistakes

    with listening() as sock:
        uvloop.run(asks_and_goes(sock))
