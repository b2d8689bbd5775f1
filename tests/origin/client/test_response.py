"""Responses that break off or are invalid: a bad gateway, and no byte for the next request."""

import asyncio

import pytest

from tests.origin.problems import from_page, refused
from tests.origin.scripted import Call, Scripted, Wire, get
from tests.serving import Server

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


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
