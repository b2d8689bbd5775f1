"""An HTTP/1.1 client, as plain as `curl`: one connection, one request at a time, or a stream."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httptools
import orjson

from pushhub.testing.simulation.node import PORT, PUBLIC_HOST

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pushhub.testing.simulation.network import Network, SimulatedEnd


class SimulatedResponse:
    """A response, whole."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""

    def json(self) -> Any:
        """The body, read as JSON."""
        return orjson.loads(self.body)

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.body[:200]!r}>"


class SimulatedClient(asyncio.Protocol):
    """A connection to a node. What fails raises OSError, as with a socket."""

    def __init__(self, network: Network, host: str, address: str = "127.0.0.1") -> None:
        self._network = network
        self._host = host
        self._address = address
        self._end: SimulatedEnd | None = None
        self._fresh()
        self._news: asyncio.Future[None] | None = None

    def _fresh(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.response = SimulatedResponse()
        self._body = bytearray()
        self._done = self._headed = False

    # The transport's callbacks, and the parser's

    def connection_lost(self, exc: Exception | None) -> None:
        self._end = None
        self._tell()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            if self._end is not None:
                self._end.abort()
        self._tell()

    def on_header(self, name: bytes, value: bytes) -> None:
        self.response.headers[name.decode().lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.response.status = self._parser.get_status_code()
        self._headed = True

    def on_body(self, data: bytes) -> None:
        self._body += data

    def on_message_complete(self) -> None:
        if self.response.status >= 200:
            self._done = True
        else:
            self._headed = False

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    # Asking

    async def ask(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        *,
        patience: float = 120.0,
    ) -> SimulatedResponse:
        """Send a request, and wait for its whole response.

        Raises:
            OSError: no connection, or it broke before the response was whole.
            TimeoutError: no response within `patience` seconds.
        """
        await self.send(method, target, headers, body)
        async with asyncio.timeout(patience):
            while not self._done:
                await self._wait()
        self.response.body = bytes(self._body)
        if self.response.headers.get("connection") == "close" and self._end is not None:
            self._end.close()
            self._end = None
        return self.response

    async def send(
        self, method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> None:
        """Send a request."""
        if self._end is None or self._end.is_closing():
            self._end, _ = await self._network.connect(
                lambda: self, self._host, PORT, address=self._address
            )
        self._fresh()
        lines = [f"{method} {target} HTTP/1.1", f"host: {PUBLIC_HOST}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if body or method in ("POST", "PUT"):
            lines.append(f"content-length: {len(body)}")
        self._end.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    async def head(self) -> SimulatedResponse:
        """Wait for the head of a stream's response."""
        while not self._headed:
            await self._wait()
        return self.response

    async def piece(self) -> bytes:
        """What has arrived of a stream; empty at its end."""
        while not self._body and not self._done:
            await self._wait()
        piece = bytes(self._body)
        self._body.clear()
        return piece

    async def _wait(self) -> None:
        if self._end is None:
            raise ConnectionResetError("the connection is gone")
        self._news = asyncio.get_running_loop().create_future()
        await self._news

    @property
    def end(self) -> SimulatedEnd | None:
        """The connection, if there is one."""
        return self._end

    def close(self) -> None:
        """Leave."""
        if self._end is not None:
            self._end.close()
            self._end = None
