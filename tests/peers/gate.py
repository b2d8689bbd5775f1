"""What stands in front of an origin, and what a GRIP case does with it: hold, stream, publish."""

import asyncio
import itertools
import json
import os
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import h11

from tests.peers.origin import Origin, script
from tests.peers.pushpin import Pushpin
from tests.serving import Server, serve, until_held
from tests.wire import Client, Fields, Response

# What Pushpin's proxy says (500) when its own handler, another process, does not answer in time.
BUSY = b"Accept service unavailable.\n"
TRIES = 5
# Of what takes milliseconds, unless the machine does much else.
SECONDS = 20.0
# Of channels that one request may have on Pushpin (connection_subscription_max).
MOST_CHANNELS = 20
KEY = b"a secret of thirty-two bytes, or so"

_CONTROL = re.compile(r"control is at http://\S+:(\d+) ")
_names = itertools.count()


def _channels(target: str) -> int:
    """On how many channels the origin will have a request wait."""
    fields = parse_qsl(urlsplit(target).query)
    lines = [value for name, value in fields if name == "h" and value.startswith("Grip-Channel:")]
    named = sum(len(line.split(",")) for line in lines)
    return min(MOST_CHANNELS, named or 1)  # 1 in a document


def fresh(what: str = "c") -> str:
    """A name that no other case uses, for a channel or a path."""
    return f"{what}{os.getpid()}x{next(_names)}"


@dataclass(frozen=True, slots=True)
class Told:
    """An answer, and after how many seconds it came."""

    response: Response
    seconds: float

    @property
    def status(self) -> int:
        return self.response.status

    @property
    def body(self) -> bytes:
        return self.response.body

    @property
    def headers(self) -> dict[str, str]:
        return self.response.headers


class Streaming:
    """A stream that is being read: `read(n)` waits for so many bytes."""

    def __init__(self, client: Client, status: int, headers: dict[str, str]) -> None:
        self.status = status
        self.headers = headers
        self._pieces = client.pieces()
        self._buffer = b""

    async def read(self, count: int, seconds: float = SECONDS) -> bytes:
        async with asyncio.timeout(seconds):
            while len(self._buffer) < count:
                self._buffer += await anext(self._pieces)
        found, self._buffer = self._buffer[:count], self._buffer[count:]
        return found

    async def rest(self, seconds: float = SECONDS) -> bytes:
        """Everything up to the proper end."""
        async with asyncio.timeout(seconds):
            async for piece in self._pieces:
                self._buffer += piece
        found, self._buffer = self._buffer, b""
        return found


@dataclass(frozen=True, slots=True)
class Gate:
    """Pushpin or pushhub, in front of the scripted origin."""

    name: str
    origin: Origin
    port: int
    control: int
    pushpin: Pushpin | None = None

    @property
    def is_ours(self) -> bool:
        return self.name == "pushhub"

    async def ask(
        self,
        target: str,
        method: str = "GET",
        headers: Fields | None = None,
        body: bytes = b"",
        seconds: float = 20.0,
    ) -> Told:
        """One request, and how long it took; again if Pushpin was too busy to ask itself, which it
        says, or just closes.
        """
        for _ in range(TRIES):
            try:
                told = await self._ask(target, method, headers, body, seconds)
            except h11.RemoteProtocolError:
                if self.is_ours:
                    raise
            else:
                if self.is_ours or told.body != BUSY:
                    return told
            await asyncio.sleep(0.5)
        raise AssertionError(f"Pushpin was too busy for {target}, {TRIES} times")

    async def _ask(
        self, target: str, method: str, headers: Fields | None, body: bytes, seconds: float
    ) -> Told:
        async with await Client.connect(self.port) as client:
            begun = time.monotonic()
            client.send(method, target, headers, body)
            response = await client.receive(seconds)
            return Told(response, time.monotonic() - begun)

    @asynccontextmanager
    async def hold(
        self, path: str, *headers: str, hits: int = 1, method: str = "GET", **does: Any
    ) -> AsyncIterator[asyncio.Task[Told]]:
        """A request that the origin has answered with a hold, and that is parked."""
        async with self.asking(script(path, *headers, **does), path, hits, method) as task:
            yield task

    @asynccontextmanager
    async def asking(
        self, target: str, path: str, hits: int = 1, method: str = "GET"
    ) -> AsyncIterator[asyncio.Task[Told]]:
        task = asyncio.create_task(self.ask(target, method))
        try:
            await asyncio.to_thread(self.origin.wait, path, hits)
            await self.registered(path, _channels(target))
            yield task
        finally:
            task.cancel()

    async def registered(self, path: str, times: int = 1) -> None:
        """Wait until Pushpin has registered requests of a path, which the origin has seen, so many
        times: once for each channel, and again when it has asked again.
        """
        if self.pushpin is None:
            # What is published after the origin was asked is heard, and most of what comes now
            # finds a hold that is parked.
            await asyncio.sleep(0.15)
            return
        async with asyncio.timeout(SECONDS):
            while self.pushpin.registered(path) < times:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    @asynccontextmanager
    async def stream(self, path: str, *headers: str, **does: Any) -> AsyncIterator[Streaming]:
        """A stream whose head has come."""
        client = await Client.connect(self.port)
        try:
            target = script(path, "Grip-Hold: stream", *headers, **does)
            client.send("GET", target)
            async with asyncio.timeout(SECONDS):
                status, fields = await client.head()
            await self.registered(path, _channels(target))
            yield Streaming(client, status, fields)
        finally:
            await client.leave()

    async def parked(self, count: int, seconds: float = 10.0) -> None:
        """Wait until pushhub holds so many requests, and no others. Pushpin says nowhere."""
        async with await Client.connect(self.control) as client:
            await until_held(client, count, seconds)

    async def publish(self, *items: dict[str, Any], path: str = "/publish/") -> Response:
        """Publish, and expect success."""
        answer = await self.post(path, {"items": items})
        assert answer.status == 200, answer
        return answer

    async def post(
        self, path: str, document: Any, headers: Fields | None = None, method: str = "POST"
    ) -> Response:
        """A request to the control endpoint; bytes are sent as they are."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        async with await Client.connect(self.control) as client:
            return await client.ask(method, path, headers, body)


def control_of(server: Server) -> int:
    """The port of a server's control endpoint."""
    return int(server.output.find(_CONTROL, 10)[1])


@contextmanager
def pushhub_before(origin: Origin, **settings: Any) -> Iterator[Gate]:
    """pushhub in front of an origin, with a control endpoint that asks for no key."""
    address = f"http://127.0.0.1:{origin.port}"
    with serve(origin=address, control="127.0.0.1:0", **settings) as server:
        yield Gate("pushhub", origin, server.port, control_of(server))


def response(channel: str, body: str = "pushed", **more: Any) -> dict[str, Any]:
    """An item with an `http-response`; keywords with `_` are the item's, others the format's."""
    item = {name.strip("_").replace("_", "-"): v for name, v in more.items() if name[-1] == "_"}
    fmt = {name.replace("_", "-"): value for name, value in more.items() if name[-1] != "_"}
    if not {"body_patch", "action", "body_bin"} & set(more):
        fmt["body"] = body
    return {"channel": channel, **item, "formats": {"http-response": fmt}}


def chunk(channel: str, content: str = "", **more: Any) -> dict[str, Any]:
    """An item with an `http-stream`."""
    item = {name.strip("_").replace("_", "-"): v for name, v in more.items() if name[-1] == "_"}
    fmt = {name.replace("_", "-"): value for name, value in more.items() if name[-1] != "_"}
    if "action" not in more:
        fmt["content"] = content
    return {"channel": channel, **item, "formats": {"http-stream": fmt}}
