"""Reads the key set of an identity provider from a file or a URL, again and again."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httptools
import structlog

from pushhub.auth.jwks import MAX_JWKS_BYTES, JwksError
from pushhub.tasks import TaskSet

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.auth.jwks import Jwks

log = structlog.get_logger(__name__)

# For connection, TLS, head and body together. A provider responds within a second.
FETCH_SECONDS = 10.0
# The pause after a failure; it doubles up to the interval of refreshes.
FIRST_PAUSE = 2.0
_PIECE_BYTES = 64 * 1024


class JwksSource:
    """Keeps a key set up to date. Failures leave its keys, and are logged once for each reason.

    Args:
        where: a URL, or the path of a file.
        seconds: the interval of refreshes.
        uniform: draws a number between two, so that nodes do not refresh together.
    """

    def __init__(
        self, jwks: Jwks, where: str, seconds: float, uniform: Callable[[float, float], float]
    ) -> None:
        self._jwks = jwks
        self._where = where
        self._seconds = seconds
        self._uniform = uniform
        self._pause = FIRST_PAUSE
        self._reason = ""
        self._requests = asyncio.Event()
        self._tasks = TaskSet()

    async def open(self) -> None:
        """Read the key set for the first time, and go on in the background."""
        self._jwks.on_request = self.refresh
        is_good = await self._refresh()
        self._tasks.spawn(self._run(is_good=is_good))

    def refresh(self) -> None:
        """Read the key set now."""
        self._requests.set()

    async def _run(self, *, is_good: bool) -> None:
        while True:
            pause = self._seconds * self._uniform(0.8, 1.0) if is_good else self._pause
            try:
                async with asyncio.timeout(pause):
                    await self._requests.wait()
            except TimeoutError:
                pass
            self._requests.clear()
            self._jwks.is_pending = True
            is_good = await self._refresh()

    async def _refresh(self) -> bool:
        try:
            changes = self._jwks.replace(await read_jwks(self._where))
        except JwksError as error:
            self._jwks.failed()
            self._pause = min(2 * self._pause if self._reason else FIRST_PAUSE, self._seconds)
            if str(error) != self._reason:
                self._reason = str(error)
                log.warning("jwks.failed", where=self._where, error=self._reason)
            return False
        self._pause, self._reason = FIRST_PAUSE, ""
        if changes:
            log.info("jwks.refreshed", where=self._where, keys=len(self._jwks), changes=changes)
        return True

    async def close(self) -> None:
        """Stop."""
        self._tasks.cancel()
        await self._tasks.wait()


async def read_jwks(where: str) -> bytes:
    """The document of a key set.

    Raises:
        JwksError: it cannot be read, for the reason in the sentence.
    """
    if "://" not in where:
        return await asyncio.to_thread(read_file, Path(where))
    try:
        async with asyncio.timeout(FETCH_SECONDS):
            return await _fetch(where)
    except TimeoutError:
        raise JwksError(f"{where} did not respond within {FETCH_SECONDS:g} s.") from None
    except ssl.SSLCertVerificationError as error:
        why = error.verify_message
        raise JwksError(f"The certificate of {where} is not valid: {why}.") from None
    except OSError as error:
        raise JwksError(f"{where} cannot be reached: {error.strerror or error}.") from None
    except httptools.HttpParserError:
        raise JwksError(f"The response of {where} is no HTTP response.") from None


def read_file(file: Path) -> bytes:
    """The document in a file.

    Raises:
        JwksError: it cannot be read.
    """
    try:
        with file.open("rb") as opened:
            return opened.read(MAX_JWKS_BYTES + 1)
    except OSError as error:
        raise JwksError(f"{file} cannot be read: {error.strerror}.") from None


class _Response:
    """The body of a response, as httptools' parser reports it."""

    def __init__(self) -> None:
        self.body = bytearray()
        self.is_complete = False

    def on_body(self, piece: bytes) -> None:
        self.body += piece

    def on_message_complete(self) -> None:
        self.is_complete = True


async def _fetch(url: str) -> bytes:
    """One GET. Redirects are not followed: the operator has named the provider's own URL."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    context = ssl.create_default_context() if secure else None
    port = parts.port or (443 if secure else 80)
    assert parts.hostname is not None
    reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=context)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        writer.write(
            f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: application/json\r\n"
            "User-Agent: pushhub\r\nConnection: close\r\n\r\n".encode("ascii")
        )
        response = _Response()
        parser = httptools.HttpResponseParser(response)
        size = 0
        while not response.is_complete and (piece := await reader.read(_PIECE_BYTES)):
            size += len(piece)
            if size > MAX_JWKS_BYTES:
                raise JwksError(f"The response of {url} is larger than {MAX_JWKS_BYTES} bytes.")
            parser.feed_data(piece)
        if (status := parser.get_status_code()) != 200:
            raise JwksError(f"{url} responded with the status {status}, not 200.")
        return bytes(response.body)
    finally:
        writer.close()
