"""A small HTTP/1.1 client for one connection. httptools parses, so the hub's responses are read by
another implementation than the one that wrote them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import httptools

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Mapping

    Dial = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]

# Bytes of a read, and bytes of a body that are kept: a page of the canary's events has a tenth.
PIECE_BYTES = 65_536
MAX_BODY_BYTES = 1024 * 1024


class CanaryResponse(NamedTuple):
    """A response: header names in lower case, and the first `MAX_BODY_BYTES` of the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class CanaryClient:
    """One connection, for one request after another."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._clear()

    def _clear(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.headers: dict[str, str] = {}
        self.status = 0
        self._body = bytearray()
        self._has_head = self._is_complete = False

    # Called by the parser

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self._has_head = True

    def on_body(self, piece: bytes) -> None:
        if len(self._body) < MAX_BODY_BYTES:
            self._body += piece

    def on_message_complete(self) -> None:
        self._is_complete = True

    # Requests

    def send(
        self, method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> None:
        """Send a request; `receive` or `receive_head` follows."""
        self._clear()
        fields = {"host": "127.0.0.1", "user-agent": "pushhub-canary", **(headers or {})}
        if body:
            fields["content-length"] = str(len(body))
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {fields[name]}" for name in fields)]
        self._writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    async def receive(self) -> CanaryResponse:
        """The whole response.

        Raises:
            OSError: the connection ended before the response did.
            httptools.HttpParserError: the bytes are no HTTP response.
        """
        while not self._is_complete:
            await self._read()
        return CanaryResponse(self.status, self.headers, bytes(self._body))

    async def ask(
        self, method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> CanaryResponse:
        """Send a request, and receive its whole response."""
        self.send(method, target, headers, body)
        return await self.receive()

    async def receive_head(self) -> int:
        """The status of a response whose body is a stream."""
        while not self._has_head:
            await self._read()
        return self.status

    async def piece(self) -> bytes:
        """The next piece of a stream; empty at its end."""
        while not self._body and not self._is_complete:
            await self._read()
        piece = bytes(self._body)
        self._body.clear()
        return piece

    async def _read(self) -> None:
        piece = await self._reader.read(PIECE_BYTES)
        if not piece:
            raise ConnectionError("The hub closed the connection before the end of its response.")
        self._parser.feed_data(piece)

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()
