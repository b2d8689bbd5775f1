"""A small HTTP/1.1 server on loopback whose responses a case writes, byte for byte."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

import httptools

from pushhub.conformance.scripted_request import ScriptedRequest

if TYPE_CHECKING:
    from collections.abc import Callable

# A poll of 1,000 channels; a client that sends more is cut off.
_MOST_BODY = 1_048_576


class ScriptedConnection(asyncio.Protocol):
    """One connection of the client. Requests are read one after the other."""

    def __init__(self, server: ScriptedServer) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._url, self._body = b"", b""
        self._headers: dict[str, str] = {}
        self._request: ScriptedRequest | None = None
        self.is_closed = False

    # -- the protocol --------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server.connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.is_closed = True
        self._server.connections.discard(self)
        if self._request is not None:
            self._server.lost(self._request)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # A client that offers HTTP/2 (RFC 7540 §3.2) receives its response in HTTP/1.1.
            self._parser = httptools.HttpRequestParser(self)
        except httptools.HttpParserError:
            self.close()

    # -- the parser ----------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._url, self._body, self._headers = b"", b"", {}

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._body += body
        if len(self._body) > _MOST_BODY:
            self.close()

    def on_message_complete(self) -> None:
        method = self._parser.get_method().decode()
        url = self._url.decode("latin-1")
        self._request = ScriptedRequest(self, method, url, self._headers, self._body, self.now())
        self._server.receive(self._request)

    # -- what a response needs -----------------------------------------------------

    def now(self) -> float:
        """Seconds of the event loop's clock."""
        return self._server.loop.time()

    def write(self, data: bytes) -> None:
        """Send bytes, unless the client has gone."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """Close after everything is sent."""
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> None:
        """Close without the rest."""
        if self._transport is not None:
            self._transport.abort()


class ScriptedServer:
    """Listens on a free port of 127.0.0.1. `receive` gets each request, `lost` the last request of
    each connection that ends.
    """

    def __init__(
        self,
        receive: Callable[[ScriptedRequest], None],
        lost: Callable[[ScriptedRequest], None],
    ) -> None:
        self.receive, self.lost = receive, lost
        self.loop = asyncio.get_running_loop()
        self.connections: set[ScriptedConnection] = set()
        self.port = 0
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.shut()

    async def open(self) -> None:
        """Listen: on the port of before, if there is one."""
        server = await self.loop.create_server(
            lambda: ScriptedConnection(self), "127.0.0.1", self.port
        )
        self._server = server
        self.port = server.sockets[0].getsockname()[1]

    def shut(self) -> None:
        """Stop listening, and close all connections."""
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            connection.close()

    @property
    def url(self) -> str:
        """The URL of the server."""
        return f"http://127.0.0.1:{self.port}"
