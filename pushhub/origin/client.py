"""Asking the origin: one pool of connections a process, answers as they were sent."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from pushhub.protocol.problem import Problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator

    from pushhub.origin.asked import Pairs

# Ours stay below what origins close at (uvicorn 5 s, Node 5 s, nginx 75 s), or a request would
# meet a connection that is just being closed.
POOLED_SECONDS = 4
# As much as our own front takes in a head; nginx's large buffers are four of 8 KiB.
MAX_LINE_BYTES = 64 * 1024
READ_BYTES = 64 * 1024

# What the library would add by itself.
_ADDED = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


class Response:
    """The head of an origin's response, and its body as it comes in.

    `pairs` are its headers as sent. `length` is what Content-Length says; None if it is chunked, or
    ends with the connection, which `chunked` tells apart.
    """

    __slots__ = ("_response", "chunked", "length", "pairs", "reason", "status")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.reason = (response.reason or "").encode("utf-8", "surrogateescape")
        self.pairs: Pairs = response.raw_headers
        self.length = response.content_length
        self.chunked = "chunked" in response.headers.get("transfer-encoding", "").lower()

    async def body(self) -> AsyncIterator[bytes]:
        """The body in pieces, still encoded as the origin encoded it.

        Raises:
            Problem: the origin stopped in the middle of it, or for too long.
        """
        content = self._response.content
        try:
            while piece := await content.readany():
                yield piece
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise _problem(error) from None

    def close(self) -> None:
        """Give the connection back, if the body was read to its end; else close it."""
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()


class Client:
    """The connections of one process to its origins.

    Args:
        connect_seconds: for finding a free connection, and for making one.
        silent_seconds: for how long an origin may say nothing.
        connections: at most so many to each origin.
    """

    def __init__(self, connect_seconds: float, silent_seconds: float, connections: int) -> None:
        self._timeout = aiohttp.ClientTimeout(
            total=None,
            connect=connect_seconds,
            sock_connect=connect_seconds,
            sock_read=silent_seconds,
        )
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None
        self.under_way = 0

    async def open(self) -> None:
        """Make the pool; it belongs to the running loop."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, limit_per_host=self._connections, keepalive_timeout=POOLED_SECONDS
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=self._timeout,
            auto_decompress=False,
            skip_auto_headers=_ADDED,
            read_bufsize=READ_BYTES,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_LINE_BYTES,
        )

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    async def ask(
        self, method: str, url: str, pairs: Pairs, body: AsyncIterable[bytes] | bytes | None = None
    ) -> Response:
        """Send a request; its response is there when its head is. Redirects are the client's.

        Args:
            url: an origin and a target that begins with `/`, both as they are.
            pairs: the headers; a body without Content-Length among them goes in chunks.

        Raises:
            Problem: 502 if the origin cannot be reached or makes no sense, 504 if it is too slow.
        """
        assert self._session is not None
        self.under_way += 1
        try:
            return Response(
                await self._session.request(
                    method,
                    URL(url, encoded=True),
                    headers=CIMultiDict((name.decode(), _text(value)) for name, value in pairs),
                    data=body,
                    allow_redirects=False,
                )
            )
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise _problem(error) from None
        finally:
            self.under_way -= 1


def _text(value: bytes) -> str:
    """A value as the library writes it back to the same bytes, where it can: as UTF-8."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _problem(error: Exception) -> Problem:
    if isinstance(error, asyncio.TimeoutError):
        return Problem("origin-timeout", "The origin did not answer in time; ask again later.")
    if isinstance(error, aiohttp.ClientConnectorError):
        return Problem("origin-unreachable", "No connection to the origin can be made.")
    return Problem("bad-gateway", "The origin's answer broke off, or was no HTTP response.")
