"""Origins that send a body where none can be: it becomes no other request's response."""

import asyncio

import pytest

from tests.origin.scripted import Act, Call, Scripted, Wire, get
from tests.serving import Server

# What an origin, or a client who chose what it stores, could have the next client read.
EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
NAMED = {
    "chunked": (b"Transfer-Encoding: chunked\r\n", b"%x\r\n%b\r\n0\r\n\r\n" % (len(EVIL), EVIL)),
    "length": (b"Content-Length: %d\r\n" % len(EVIL), EVIL),
    "text": (b"Content-Length: 9\r\n", b"some text"),
}
BODILESS = {
    "HEAD": ("HEAD", b"200 OK"),
    "HEAD-404": ("HEAD", b"404 Not Found"),
    "204": ("GET", b"204 No Content"),
    "304": ("GET", b"304 Not Modified"),
}


def sending(head: bytes, body: bytes, delay: float | None) -> Act:
    async def act(call: Call) -> None:
        if delay is None:
            await call.send(head + body)
            return
        await call.send(head)
        await asyncio.sleep(delay)
        await call.send(body)

    return act


async def good(call: Call) -> None:
    await call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")


@pytest.mark.parametrize("delay", [None, 0, 0.02])
@pytest.mark.parametrize("named", NAMED)
@pytest.mark.parametrize("kind", BODILESS)
async def test_a_body_after_a_bodiless_response_is_nobodys(
    kind: str, named: str, delay: float | None, front: Server, origin: Scripted
) -> None:
    method, status = BODILESS[kind]
    header, body = NAMED[named]
    head = b"HTTP/1.1 %b\r\n%b\r\n" % (status, header)
    origin.acts |= {"/bad": sending(head, body, delay), "/good": good}
    async with await Wire.to(front.port) as wire:
        for pause in (0, 0, 0.01, 0.03):
            wire.send(get("/bad", method=method))
            assert (await wire.head()).startswith(b"HTTP/1.1 " + status)
            await asyncio.sleep(pause)
            wire.send(get("/good"))
            assert b" 200 OK\r\n" in await wire.head()
            assert await wire.exactly(4) == b"good"


async def test_bytes_without_a_length_end_the_connection(front: Server, origin: Scripted) -> None:
    """They arrive before the next request: within 200 ms, for which a kernel may hold back an ACK,
    and an origin with Nagle's algorithm the body.
    """
    head = b"HTTP/1.1 204 No Content\r\n\r\n"
    origin.acts |= {"/bad": sending(head, EVIL, 0), "/good": good}
    async with await Wire.to(front.port) as wire:
        for _ in range(4):
            wire.send(get("/bad"))
            await wire.head()
            await asyncio.sleep(0.3)
            wire.send(get("/good"))
            await wire.head()
            assert await wire.exactly(4) == b"good"


async def test_what_is_no_response_is_not_the_response_to_a_get(
    front: Server, origin: Scripted
) -> None:
    """The bytes come when the next request is on its way: it is sent again, once."""

    async def garbage(call: Call) -> None:
        await call.send(b"some text")

    async def again(call: Call) -> None:
        if len(origin.calls) == 1:
            await good(call)
        elif len(origin.calls) == 2:
            await call.send(b"some text")
        else:
            await good(call)

    origin.acts |= {"/again": again, "/garbage": garbage}
    async with await Wire.to(front.port) as wire:
        for _ in range(2):
            wire.send(get("/again"))
            assert b" 200 OK\r\n" in await wire.head()
            assert await wire.exactly(4) == b"good"
        assert len(origin.calls) == 3
        # An origin that says nothing else is asked twice, and no more.
        wire.send(get("/garbage"))
        assert b" 502 " in await wire.head()
        assert [call.target for call in origin.calls[3:]] in (["/garbage"], ["/garbage"] * 2)
        # What may not be sent twice is not.
    async with await Wire.to(front.port) as wire:
        wire.send(get("/good"))
        await wire.head()
        before = len(origin.calls)
        wire.send(get("/garbage", "Content-Length: 0", method="POST"))
        assert b" 502 " in await wire.head()
        assert len(origin.calls) == before + 1


@pytest.mark.parametrize("ends", ["close", "reset"])
async def test_a_get_that_met_a_dead_connection_is_sent_again(
    ends: str, front: Server, origin: Scripted
) -> None:
    """The origin closes as soon as it has answered, and does not say so."""

    async def dies(call: Call) -> None:
        await good(call)
        if ends == "reset":
            call.reset()
        else:
            call.writer.close()

    origin.acts["/dies"] = dies
    async with await Wire.to(front.port) as wire:
        for _ in range(30):
            wire.send(get("/dies"))
            assert b" 200 OK\r\n" in await wire.head()
            assert await wire.exactly(4) == b"good"
    assert len(origin.calls) <= 31


async def test_head_is_sent_on_used_connections(front: Server, origin: Scripted) -> None:
    """A well-behaved origin's connections are still used again, a moment later."""
    origin.acts["/x"] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"
    async with await Wire.to(front.port) as wire:
        for _ in range(5):
            wire.send(get("/x", method="HEAD"))
            await wire.head()
            await asyncio.sleep(0.3)
    assert origin.connections == 1
