"""An origin for tests: an HTTP API in the test's own loop, whose resources the test changes.

It counts and keeps every request, can be made slow, wrong or dead, and says no more than it is told
to: what a client sees beside that, pushhub made.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Self

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass
class Asked:
    """A request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Thing:
    """A resource: what is answered for it, and to whom 304."""

    body: bytes
    etag: str | None = None
    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list)


class Api:
    """The origin. `things` are its resources by target."""

    def __init__(self, port: int = 0) -> None:
        self.things: dict[str, Thing] = {}
        self.asked: list[Asked] = []
        self.port = port
        self.gate = asyncio.Event()
        """Answers wait while it is closed."""
        self.gate.set()
        self.answered = 0
        self._server: asyncio.Server
        self._news = asyncio.Condition()
        self._writers: set[asyncio.StreamWriter] = set()

    @classmethod
    @asynccontextmanager
    async def running(cls, port: int = 0) -> AsyncIterator[Self]:
        api = cls(port)
        await api.start()
        try:
            yield api
        finally:
            await api.stop()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Be gone: nothing listens any more, every connection is cut."""
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def set(
        self,
        target: str,
        body: str,
        etag: str | None = None,
        status: int = 200,
        headers: list[tuple[str, str]] | None = None,
    ) -> None:
        """Change a resource."""
        self.things[target] = Thing(body.encode(), etag, status, headers or [])

    def count(self, target: str | None = None) -> int:
        """How many requests came, for one target or all."""
        return sum(1 for asked in self.asked if target in (None, asked.target))

    async def reached(self, count: int, target: str | None = None, seconds: float = 10) -> None:
        """Wait until at least so many requests came."""
        async with asyncio.timeout(seconds), self._news:
            await self._news.wait_for(lambda: self.count(target) >= count)

    async def settled(self, count: int) -> None:
        """Wait until at least so many requests were answered, and none is open."""
        async with asyncio.timeout(10), self._news:
            await self._news.wait_for(lambda: len(self.asked) >= count == self.answered)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = _LENGTH.search(head)
                body = await reader.readexactly(int(length[1])) if length else b""
                asked = _parsed(head, body)
                async with self._news:
                    self.asked.append(asked)
                    self._news.notify_all()
                await self.gate.wait()
                writer.write(self._answer(asked))
                await writer.drain()
                async with self._news:
                    self.answered += 1
                    self._news.notify_all()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    def _answer(self, asked: Asked) -> bytes:
        thing = self.things.get(asked.target, Thing(b"nothing here", None, 404))
        status, body = thing.status, thing.body
        if thing.etag and asked.headers.get("if-none-match") == thing.etag:
            status, body = 304, b""
        lines = [f"HTTP/1.1 {status} Whatever"]
        if thing.etag:
            lines.append(f"ETag: {thing.etag}")
        lines += [f"{name}: {value}" for name, value in thing.headers]
        if status not in (204, 304):
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        if asked.method == "HEAD":
            body = b""
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def _parsed(head: bytes, body: bytes) -> Asked:
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return Asked(method, target, headers, body)
