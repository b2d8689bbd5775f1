"""The proxy misbehaves as it is told, and otherwise passes on every byte."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from tests.proxy import Proxy

MESSAGE = b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$5\r\nhello\r\n"
SECONDS = 10


class Line:
    """One connection to a server that says again what it hears."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def to(cls, port: int) -> "Line":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def echo(self, said: bytes, heard: bytes | None = None, seconds: float = SECONDS) -> None:
        self._writer.write(said)
        wanted = said if heard is None else heard
        async with asyncio.timeout(seconds):
            assert await self._reader.readexactly(len(wanted)) == wanted

    async def has_ended(self) -> None:
        with suppress(ConnectionError):
            async with asyncio.timeout(SECONDS):
                assert await self._reader.read(1) == b"", "it lives"

    def leave(self) -> None:
        self._writer.transport.abort()


async def echo_server(mark: bytes = b"") -> asyncio.Server:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(100):
                writer.write(mark + data)
        except OSError:
            pass
        finally:
            writer.close()

    return await asyncio.start_server(echo, "127.0.0.1", 0)


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    server = await echo_server()
    async with Proxy(server.sockets[0].getsockname()[1]) as proxy:
        yield proxy
    server.close()


async def test_cut_resets_those_there_are_and_part_all(proxy: Proxy) -> None:
    old = await Line.to(proxy.port)
    await old.echo(b"a")
    proxy.cut()
    await old.has_ended()
    new = await Line.to(proxy.port)
    await new.echo(b"b")
    proxy.part()
    await new.has_ended()
    refused = await Line.to(proxy.port)
    await refused.has_ended()
    proxy.join()
    back = await Line.to(proxy.port)
    await back.echo(b"c")
    for line in (old, new, refused, back):
        line.leave()


async def test_half_open_is_for_those_there_are_and_silence_for_all(proxy: Proxy) -> None:
    old = await Line.to(proxy.port)
    await old.echo(b"a")
    proxy.half_open()
    new = await Line.to(proxy.port)
    await new.echo(b"b")
    proxy.go_silent()
    newest = await Line.to(proxy.port)
    for line in (old, new, newest):
        with pytest.raises(TimeoutError):
            await line.echo(b"c", seconds=0.05)
    proxy.heal()
    healed = await Line.to(proxy.port)
    await healed.echo(b"d")
    with pytest.raises(TimeoutError):
        await old.echo(b"e", seconds=0.05)
    for line in (old, new, newest, healed):
        line.leave()


async def test_delay_is_each_way_and_ends(proxy: Proxy) -> None:
    line = await Line.to(proxy.port)
    await line.echo(b"a")
    proxy.delay(0.1)
    begun = time.monotonic()
    await line.echo(b"b")
    assert time.monotonic() - begun >= 0.2
    new = await Line.to(proxy.port)
    begun = time.monotonic()
    await new.echo(b"b")
    assert time.monotonic() - begun >= 0.2
    proxy.delay(10 * SECONDS)
    proxy.delay(0.0)
    await line.echo(b"c")
    for one in (line, new):
        one.leave()


async def test_what_is_kept_back_comes_when_it_may(proxy: Proxy) -> None:
    line = await Line.to(proxy.port)
    await line.echo(b"a")
    (passage,) = proxy.passages
    passage.keep_back()
    with pytest.raises(TimeoutError):
        await line.echo(b"b", seconds=0.05)
    passage.pass_on()
    await line.echo(b"c", b"bc")
    line.leave()


async def test_messages_of_pubsub_vanish_and_are_counted(proxy: Proxy) -> None:
    line = await Line.to(proxy.port)
    await line.echo(MESSAGE)
    proxy.swallows = True
    await line.echo(b"+OK\r\n" + MESSAGE + MESSAGE + b"+PONG\r\n", b"+OK\r\n+PONG\r\n")
    assert proxy.swallowed == 2
    line.leave()


async def test_join_leads_elsewhere(proxy: Proxy) -> None:
    other = await echo_server(b"other ")
    proxy.join(other.sockets[0].getsockname()[1])
    line = await Line.to(proxy.port)
    await line.echo(b"a", b"other a")
    line.leave()
    other.close()
