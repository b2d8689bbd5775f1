"""Large and endless bodies, both ways, in bounded memory; WebSockets."""

import asyncio
import re
import resource
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests.origin.scripted import Call, Scripted, Wire, get
from tests.serving import Server, serve

MIB = 1024 * 1024
SIZE = 100 * MIB
BLOCK = bytes(range(256)) * 256
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def peak(server: Server) -> int:
    """The most memory that the process has had, in KiB."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+)", status)
    assert found
    return int(found[1])


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_large_response(chunked: bool, front: Server, origin: Scripted) -> None:
    async def act(call: Call) -> None:
        fields = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % SIZE
        await call.send(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n\r\n")
        for _ in range(SIZE // len(BLOCK)):
            await call.send(b"10000\r\n%b\r\n" % BLOCK if chunked else BLOCK)
        if chunked:
            await call.send(b"0\r\n\r\n")

    origin.acts["/large"] = act
    before = peak(front)
    async with await Wire.to(front.port) as wire:
        wire.send(get("/large"))
        await wire.head()
        left = SIZE + (SIZE // len(BLOCK) * 9 + 5 if chunked else 0)
        async with asyncio.timeout(60):
            while left:
                piece = await wire.reader.read(MIB)
                assert piece
                left -= len(piece)
        wire.send(get("/after"))
        assert (await wire.head()).startswith(b"HTTP/1.1 200 ")
    assert peak(front) - before < 10 * 1024


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_large_request(chunked: bool, front: Server, origin: Scripted) -> None:
    got = 0

    async def act(call: Call) -> None:
        nonlocal got
        if not chunked:
            while got < SIZE:
                got += len(await call.reader.read(MIB))
        else:
            while size := int(await call.reader.readline(), 16):
                await call.reader.readexactly(size + 2)
                got += size
            await call.reader.readline()
        await call.send(OK)

    origin.acts["/up"] = act
    before = peak(front)
    async with await Wire.to(front.port) as wire:
        length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {SIZE}"
        wire.send(get("/up", length, method="PUT"))
        for _ in range(SIZE // len(BLOCK)):
            wire.send(b"10000\r\n%b\r\n" % BLOCK if chunked else BLOCK)
            await wire.writer.drain()
        if chunked:
            wire.send(b"0\r\n\r\n")
        assert (await wire.head(60)).startswith(b"HTTP/1.1 200 ")
    assert got == SIZE
    assert peak(front) - before < 10 * 1024


async def test_a_client_that_does_not_read_holds_the_origin_back(
    front: Server, origin: Scripted
) -> None:
    sent = 0
    stuck = asyncio.Event()

    async def act(call: Call) -> None:
        nonlocal sent
        await call.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE)
        while sent < SIZE:
            call.writer.write(BLOCK)
            sent += len(BLOCK)
            try:
                async with asyncio.timeout(1):
                    await call.writer.drain()
            except TimeoutError:
                stuck.set()
                await call.writer.drain()

    origin.acts["/large"] = act
    before = peak(front)
    async with await Wire.to(front.port) as wire:
        wire.send(get("/large"))
        async with asyncio.timeout(30):
            await stuck.wait()
        assert sent < 30 * MIB, "what the kernel takes"
        assert peak(front) - before < 10 * 1024
        # Others are served, and it goes on where it was.
        async with await Wire.to(front.port) as other:
            other.send(get("/other"))
            await other.head()
        await wire.head()
        async with asyncio.timeout(60):
            left = SIZE
            while left:
                left -= len(await wire.reader.read(MIB))


async def test_an_origin_that_does_not_read_holds_the_client_back(
    front: Server, origin: Scripted
) -> None:
    async def act(call: Call) -> None:
        call.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(60)

    origin.acts["/up"] = act
    before = peak(front)
    sent = 0
    async with await Wire.to(front.port) as wire:
        wire.send(get("/up", f"Content-Length: {SIZE}", method="PUT"))
        try:
            while sent < SIZE:
                wire.send(BLOCK)
                sent += len(BLOCK)
                async with asyncio.timeout(1):
                    await wire.writer.drain()
        except TimeoutError:
            pass  # it is held back, as it should be
        assert sent < 50 * MIB
        assert peak(front) - before < 10 * 1024
        # It takes nothing and says nothing: that is silence.
        assert (await wire.head(10)).startswith(b"HTTP/1.1 504 ")


async def test_pieces_pass_as_they_come(passing: Server, origin: Scripted) -> None:
    """An event stream of the origin's own."""
    go_on = asyncio.Event()

    async def act(call: Call) -> None:
        await call.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n"
        )
        await go_on.wait()
        await call.send(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")

    origin.acts["/stream"] = act
    async with await Wire.to(passing.port) as wire:
        wire.send(get("/stream"))
        await wire.head()
        assert await wire.exactly(14) == b"9\r\ndata: 1\n\n\r\n"
        go_on.set()
        assert await wire.exactly(19) == b"9\r\ndata: 2\n\n\r\n0\r\n\r\n"


async def test_an_answer_while_the_body_is_still_sent(front: Server, origin: Scripted) -> None:
    """Both ways at once: each piece comes back before the next one is sent."""

    async def act(call: Call) -> None:
        await call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n")
        for _ in range(3):
            await call.send(await call.reader.readexactly(30_000))

    origin.acts["/echo"] = act
    async with await Wire.to(front.port) as wire:
        wire.send(get("/echo", "Content-Length: 90000", method="POST"))
        await wire.head()
        for piece in (b"a" * 30_000, b"b" * 30_000, b"c" * 30_000):
            wire.send(piece)
            assert await wire.exactly(30_000) == piece
        wire.send(get("/after"))
        assert (await wire.head()).startswith(b"HTTP/1.1 200 ")


async def test_a_refusal_in_the_middle_of_a_body_is_read(front: Server, origin: Scripted) -> None:
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!"

    async def act(call: Call) -> None:
        await call.reader.read(1000)
        await call.send(refusal)
        raise ConnectionError

    origin.acts["/up"] = act
    async with await Wire.to(front.port) as wire:
        wire.send(get("/up", f"Content-Length: {10 * MIB}", method="PUT"))
        wire.send(bytes(MIB))
        head = await wire.head()
        assert head.startswith(b"HTTP/1.1 413 Too Large\r\n")
        assert await wire.exactly(3) == b"no!"


async def test_an_upload_when_no_more_files_can_be_opened(front: Server, origin: Scripted) -> None:
    begun = asyncio.Event()

    async def act(call: Call) -> None:
        await call.reader.readexactly(5)
        begun.set()
        await call.reader.readexactly(100_000 - 5)
        await call.send(OK)

    origin.acts["/up"] = act
    process = front.process.pid
    async with await Wire.to(front.port) as wire:
        # The connections of both sides are there before.
        wire.send(get("/first"))
        await wire.head()
        before = resource.prlimit(process, resource.RLIMIT_NOFILE)
        resource.prlimit(process, resource.RLIMIT_NOFILE, (3, before[1]))
        try:
            wire.send(get("/up", "Content-Length: 100000", method="POST") + b"hello")
            async with asyncio.timeout(10):
                await begun.wait()
            wire.send(bytes(100_000 - 5))
            assert (await wire.head()).startswith(b"HTTP/1.1 200 ")
        finally:
            resource.prlimit(process, resource.RLIMIT_NOFILE, before)
    assert origin.connections == 1


# -- WebSockets ----------------------------------------------------------------


async def _socket(request: web.Request) -> web.WebSocketResponse:
    ws = web.WebSocketResponse(protocols=("chat",), compress=True)
    await ws.prepare(request)
    await ws.send_json({name: request.headers.get(name) for name in ("X-Forwarded-For", "Host")})
    async for message in ws:
        if message.type is aiohttp.WSMsgType.TEXT:
            await ws.send_str(message.data.upper())
        elif message.type is aiohttp.WSMsgType.BINARY:
            await ws.send_bytes(message.data)
    return ws


async def _refuse(request: web.Request) -> web.Response:
    return web.Response(status=403, text="no")


@pytest.fixture
async def sockets() -> AsyncIterator[str]:
    """An origin with WebSockets; its address."""
    app = web.Application()
    app.router.add_get("/ws", _socket)
    app.router.add_get("/closed", _refuse)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_a_websocket_passes(sockets: str) -> None:
    with serve(origin=sockets, access_log=True) as server:
        async with aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{server.port}/ws"
            async with session.ws_connect(
                url, protocols=("chat",), compress=15, max_msg_size=0
            ) as ws:
                assert ws.protocol == "chat"
                assert ws.compress == 15
                hello = await ws.receive_json()
                assert hello["X-Forwarded-For"] == "127.0.0.1"
                assert hello["Host"] == f"127.0.0.1:{server.port}"
                for n in range(100):
                    await ws.send_str(f"message {n}")
                    assert await ws.receive_str() == f"MESSAGE {n}"
                large = bytes(range(256)) * 4 * 1024 * 3
                await ws.send_bytes(large)
                assert await ws.receive_bytes() == large
                await ws.ping()
                await ws.close()
            assert ws.close_code == 1000
        server.signal()
        assert await server.left() == 0
        assert '"status": 101' in str(server.output)


async def test_a_refused_websocket_is_an_answer_and_no_tunnel(sockets: str) -> None:
    """Requests after it are read, and not handed through to the origin as they are."""
    with serve(origin=sockets) as server:
        async with await Wire.to(server.port) as wire:
            upgrade = (
                *("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            )
            wire.send(get("/closed", *upgrade))
            assert (await wire.head()).startswith(b"HTTP/1.1 403 ")
            assert await wire.exactly(2) == b"no"
            wire.send(get("/_pushhub/livez"))
            assert (await wire.head()).startswith(b"HTTP/1.1 200 ")


async def test_what_is_sent_ahead_of_the_handshake_is_not_lost(
    front: Server, origin: Scripted
) -> None:
    accepted = b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"

    async def act(call: Call) -> None:
        assert call.all("upgrade") == [b"websocket"]
        assert call.all("connection") == [b"Upgrade"]
        await call.send(accepted + b"early")
        assert await call.reader.readexactly(5) == b"ahead"
        await call.send(b"got it")
        assert await call.reader.read() == b""

    origin.acts["/raw"] = act
    async with await Wire.to(front.port) as wire:
        wire.send(get("/raw", "Connection: keep-alive, Upgrade", "Upgrade: websocket") + b"ahead")
        assert await wire.exactly(len(accepted)) == accepted
        assert await wire.exactly(11) == b"earlygot it"
        wire.writer.write_eof()
        assert await wire.rest() == b""
