"""An HTTP/1.1 client that notes when each piece of a response arrives, and hides nothing."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

import httptools

from pushhub import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

# A connection over any distance is made within this time.
CONNECT_SECONDS = 10.0
_READ_BYTES = 64 * 1024
# The largest response of a probe is one event of 256 KiB.
_MAX_BODY_BYTES = 4 * 1024 * 1024

# The exceptions of a broken connection or response.
BROKEN = (OSError, EOFError, httptools.HttpParserError, ssl.SSLError)


class ProbeTarget:
    """The URL and the credential of all probes.

    Raises:
        ValueError: the URL is no HTTP URL.
    """

    def __init__(self, url: str, key: str | None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(url)
        self.url = url.rstrip("/")
        self.is_secure = parts.scheme == "https"
        self.host = parts.hostname
        self.port = parts.port or (443 if self.is_secure else 80)
        self.prefix = parts.path.rstrip("/")
        self.tls = ssl.create_default_context() if self.is_secure else None
        self.headers = [("Host", parts.netloc.rpartition("@")[2])]
        self.headers.append(("User-Agent", f"pushhub-doctor/{__version__}"))
        if key:
            self.headers.append(("Authorization", f"Bearer {key}"))


class ProbeResponse:
    """A response, as far as it has arrived. Header names are in lower case."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.has_head = False
        self.is_complete = False
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Parse further bytes.

        Raises:
            httptools.HttpParserError: the bytes are no response.
            EOFError: the response is too long for a hub's.
        """
        self._parser.feed_data(data)
        if len(self.body) > _MAX_BODY_BYTES:
            raise EOFError("the response is too long")

    @property
    def ends_with_connection(self) -> bool:
        """Whether only the end of the connection ends the body."""
        return self.has_head and not (
            "content-length" in self.headers or "transfer-encoding" in self.headers
        )

    # The parser's callbacks

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self.has_head = self.status >= 200
        if not self.has_head:
            self.headers.clear()

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.is_complete = self.has_head


class ProbeConnection:
    """One connection; use as `async with`. Its caller bounds every request."""

    def __init__(self, target: ProbeTarget) -> None:
        self._target = target
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter
        self.is_open = False

    async def __aenter__(self) -> Self:
        target = self._target
        async with asyncio.timeout(CONNECT_SECONDS):
            self._reader, self._writer = await asyncio.open_connection(
                target.host, target.port, ssl=target.tls
            )
        self.is_open = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.leave()

    def leave(self) -> None:
        """Close the connection, as a client does that needs the response no more."""
        self.is_open = False
        self._writer.close()

    @property
    def own_name(self) -> str:
        """The address and port of this end."""
        name = self._writer.get_extra_info("sockname")
        return f"{name[0]}:{name[1]}" if isinstance(name, tuple) else ""

    def send(
        self,
        method: str,
        path: str,
        headers: Sequence[tuple[str, str]] | Mapping[str, str] = (),
        body: bytes = b"",
    ) -> None:
        """Write a request; the same header may come several times."""
        pairs = list(headers.items() if hasattr(headers, "items") else headers)
        if body or method == "POST":
            pairs.append(("Content-Length", str(len(body))))
        lines = [f"{method} {self._target.prefix}{path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in [*self._target.headers, *pairs]]
        self._writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    async def read(self, response: ProbeResponse) -> None:
        """Read the next bytes of the response.

        Raises:
            EOFError: the connection has ended before the response.
        """
        data = await self._reader.read(_READ_BYTES)
        if data:
            response.feed(data)
            return
        self.is_open = False
        if not response.ends_with_connection:
            raise EOFError("the connection was closed before the end of the response")
        response.is_complete = True

    async def ask(
        self,
        method: str,
        path: str,
        headers: Sequence[tuple[str, str]] | Mapping[str, str] = (),
        body: bytes = b"",
    ) -> ProbeResponse:
        """Send a request, and read its whole response."""
        self.send(method, path, headers, body)
        response = ProbeResponse()
        while not response.is_complete:
            await self.read(response)
        if response.headers.get("connection", "").lower() == "close":
            self.leave()
        return response


async def ask_once(
    target: ProbeTarget,
    method: str,
    path: str,
    headers: Sequence[tuple[str, str]] | Mapping[str, str] = (),
    body: bytes = b"",
    *,
    seconds: float,
) -> ProbeResponse:
    """One request on a connection of its own, within so many seconds.

    Raises:
        TimeoutError, and `BROKEN`.
    """
    async with asyncio.timeout(seconds), ProbeConnection(target) as connection:
        return await connection.ask(method, path, headers, body)


async def offers_http2(target: ProbeTarget, seconds: float) -> bool:
    """Whether the other end chooses HTTP/2 when a client offers it."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    async with asyncio.timeout(seconds):
        _, writer = await asyncio.open_connection(target.host, target.port, ssl=context)
    tls = writer.get_extra_info("ssl_object")
    writer.close()
    return tls is not None and tls.selected_alpn_protocol() == "h2"
