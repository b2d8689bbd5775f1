"""An HTTP/1.1 client for tests: one connection, requests as given, answers as h11 understands them.

It retries nothing, follows nothing and hides nothing, and what is no valid HTTP is an exception.
"""

import asyncio
import json
import socket
import weakref
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import h11

Fields = Mapping[str, str]
SECONDS = 10.0

# The connections of tests that nothing has closed yet.
_left_open: weakref.WeakSet[asyncio.StreamWriter] = weakref.WeakSet()


def opened(writer: asyncio.StreamWriter) -> None:
    """Remember a connection until it is closed."""
    _left_open.add(writer)


def hang_up() -> None:
    """End the connections that a failed test left open: the server sees their end, whatever holds
    them here, and whether or not their loop still runs.
    """
    for writer in list(_left_open):
        _left_open.discard(writer)
        if not writer.is_closing():
            sock: socket.socket = writer.get_extra_info("socket")
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # the other side has ended it, or it is closed


@dataclass(frozen=True, slots=True)
class Response:
    """A complete answer. Header names are in lower case, repeated ones are joined."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def problem(self) -> str:
        """The slug of the problem that this answer is."""
        assert self.headers["content-type"] == "application/problem+json", self
        document = self.json()
        assert document["status"] == self.status
        assert document["title"]
        assert document["detail"]
        return str(document["type"]).removeprefix("urn:pushhub:problem:")


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._http = h11.Connection(h11.CLIENT)
        opened(writer)

    @classmethod
    async def connect(cls, port: int) -> Self:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    def send(
        self, method: str, target: str, headers: Fields | None = None, body: bytes = b""
    ) -> None:
        """Write a request."""
        if self._http.our_state is h11.DONE:
            self._http.start_next_cycle()
        fields = [(b"host", b"127.0.0.1")]
        fields += [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
        if body or method == "POST":
            fields.append((b"content-length", b"%d" % len(body)))
        request = h11.Request(method=method, target=target.encode(), headers=fields)
        out = [self._http.send(request)]
        if body:
            out.append(self._http.send(h11.Data(data=body)))
        out.append(self._http.send(h11.EndOfMessage()))
        self.writer.write(b"".join(piece for piece in out if piece))

    async def receive(self, seconds: float = SECONDS) -> Response:
        """Read the whole answer."""
        async with asyncio.timeout(seconds):
            status, headers = await self.head()
            body = b"".join([piece async for piece in self.pieces()])
            return Response(status, headers, body)

    async def head(self) -> tuple[int, dict[str, str]]:
        """Read an answer up to its body."""
        event = await self._event()
        while isinstance(event, h11.InformationalResponse):
            event = await self._event()
        assert isinstance(event, h11.Response), f"the connection ended: {event!r}"
        headers: dict[str, str] = {}
        for raw_name, raw_value in event.headers:
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        return event.status_code, headers

    async def pieces(self) -> AsyncIterator[bytes]:
        """Read the body as it comes, to its proper end."""
        while not isinstance(event := await self._event(), h11.EndOfMessage):
            assert isinstance(event, h11.Data), event
            yield bytes(event.data)

    async def ask(
        self, method: str, target: str, headers: Fields | None = None, body: bytes = b""
    ) -> Response:
        self.send(method, target, headers, body)
        return await self.receive()

    async def _event(self) -> Any:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self.reader.read(65536))
        return event

    def close(self) -> None:
        """Leave, without a word."""
        self.writer.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.leave()

    async def leave(self) -> None:
        """Leave, and see to it that the other side can know."""
        self.close()
        try:
            await self.writer.wait_closed()
        except ConnectionError:
            pass


@dataclass(frozen=True, slots=True)
class Message:
    """What a browser's EventSource makes of one block of a stream (WHATWG HTML §9.2.6).

    `data` is None for a block that fires no event; `id` is the last seen, not only this block's.
    """

    type: str
    data: str | None
    id: str
    retry: int | None
    encoding: str = ""


class EventStream:
    """A reader of an event stream, by the letter of the specification."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.comments = 0
        self._pieces = client.pieces()
        self._buffer = b""
        self._id = ""

    async def next(self, seconds: float = SECONDS) -> Message:
        """The next block that says something. Raises StopAsyncIteration at the end."""
        async with asyncio.timeout(seconds):
            while True:
                while b"\n\n" not in self._buffer:
                    self._buffer += await anext(self._pieces)
                block, _, self._buffer = self._buffer.partition(b"\n\n")
                if message := self._message(block.decode()):
                    return message

    def _message(self, block: str) -> Message | None:
        type, retry, encoding = "message", None, ""
        data: list[str] = []
        said = False
        for line in block.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            match name:
                case "":
                    self.comments += line.startswith(":")
                    continue
                case "event":
                    type = value
                case "data":
                    data.append(value)
                case "id":
                    self._id = value
                case "retry":
                    retry = int(value)
                case "encoding":
                    # Browsers ignore it; readers of other kinds may look at it.
                    encoding = value
                case _:
                    raise AssertionError(f"no field of an event stream: {line!r}")
            said = True
        if not said:
            return None
        return Message(type, "\n".join(data) if data else None, self._id, retry, encoding)
