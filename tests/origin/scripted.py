"""An origin on raw sockets that answers the bytes it is told to, and keeps what it is asked."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Self

# What an origin does with a connection on which a request's head has come.
Act = Callable[["Call"], Awaitable[None]]


@dataclass
class Call:
    """A request at the origin, up to its body."""

    head: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def line(self) -> str:
        return self.head.split(b"\r\n", 1)[0].decode("latin-1")

    @property
    def target(self) -> str:
        return self.line.split(" ")[1]

    @property
    def lines(self) -> list[bytes]:
        """The header lines."""
        return self.head.split(b"\r\n")[1:-2]

    def all(self, name: str) -> list[bytes]:
        """The values of a header."""
        return [
            value.strip()
            for key, _, value in (line.partition(b":") for line in self.lines)
            if key.lower() == name.encode()
        ]

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def body(self) -> bytes:
        """The request's body, unframed."""
        if length := self.all("content-length"):
            return await self.reader.readexactly(int(length[0]))
        body = b""
        if self.all("transfer-encoding"):
            while size := int(await self.reader.readline(), 16):
                body += await self.reader.readexactly(size)
                assert await self.reader.readexactly(2) == b"\r\n"
            while await self.reader.readline() != b"\r\n":
                pass
        return body

    def reset(self) -> None:
        """Close with a reset."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.writer.transport.abort()


@dataclass
class Scripted:
    """Use as `async with Scripted(sock) as origin`; other paths than those of `acts` get a 200."""

    sock: socket.socket
    acts: dict[str, Act | bytes] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    connections: int = 0

    @property
    def port(self) -> int:
        port: int = self.sock.getsockname()[1]
        return port

    async def __aenter__(self) -> Self:
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._connected, sock=self.sock.dup())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                call = Call(await reader.readuntil(b"\r\n\r\n"), reader, writer)
                self.calls.append(call)
                act = self.acts.get(call.target, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                if isinstance(act, bytes):
                    await call.body()
                    await call.send(act)
                    if _ends_with_connection(act):
                        return
                else:
                    await act(call)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def _ends_with_connection(answer: bytes) -> bool:
    last = answer.partition(b"\r\n\r\n")[0].lower()
    return b"connection: close" in last


class Wire:
    """A client's connection, as bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, port: int) -> Self:
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=2**20))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.transport.abort()

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def exactly(self, size: int, seconds: float = 10.0) -> bytes:
        """So many bytes, or fewer if it ends before."""
        try:
            async with asyncio.timeout(seconds):
                return await self.reader.readexactly(size)
        except asyncio.IncompleteReadError as error:
            return error.partial

    async def head(self, seconds: float = 10.0) -> bytes:
        async with asyncio.timeout(seconds):
            return await self.reader.readuntil(b"\r\n\r\n")

    async def rest(self, seconds: float = 10.0) -> bytes:
        """Everything until the connection ends."""
        async with asyncio.timeout(seconds):
            data = b""
            try:
                while piece := await self.reader.read(65536):
                    data += piece
            except ConnectionError:
                data += b"<reset>"
            return data


def get(path: str, *lines: str, method: str = "GET") -> bytes:
    """A request without a body."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: api.localhost", *lines, "", ""]).encode(
        "latin-1"
    )
