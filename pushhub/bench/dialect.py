"""The dialect of a server: the bytes of a poll and of a publish, and the cursor of a response.

A dialect is a frozen dataclass of plain values, so that it can be sent to a generator process.
"""

from __future__ import annotations

import dataclasses
import importlib
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

# The headers that a browser adds to a `fetch` of another origin, with names in the case of
# HTTP/1.1 browsers.
BROWSER = (
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n"
    "Accept: application/json\r\n"
    "Accept-Language: en-GB,en;q=0.5\r\n"
    "Accept-Encoding: gzip, deflate, br, zstd\r\n"
    "Origin: {origin}\r\n"
    "Referer: {origin}/\r\n"
    "Connection: keep-alive\r\n"
    "Sec-Fetch-Dest: empty\r\n"
    "Sec-Fetch-Mode: cors\r\n"
    "Sec-Fetch-Site: cross-site\r\n"
)
ORIGIN = "https://app.example.com"

# A placeholder for a client's own token in a poll that many clients share.
TOKEN_MARK = b"@TOKEN@"


class Dialect(Protocol):
    """The interface of a server for generators and publishers."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def start(self) -> bytes:
        """The cursor of a client that has read no event."""

    @property
    def wait(self) -> int:
        """The longest wait of a poll in seconds; 0 requests an immediate response."""

    def poll(self, channel: str, cursor: bytes) -> bytes:
        """A whole request for the events after `cursor`."""

    def publish(self, channel: str, payload: bytes) -> bytes:
        """A whole request that publishes one event."""

    def cursor(self, head: bytes, body: bytes) -> bytes:
        """The cursor of a response; empty if the response has none, and the old one stays."""

    def page(self) -> bytes:
        """A whole request that is no poll."""


@dataclass(frozen=True, slots=True)
class FeedDialect:
    """pushhub's feed of one channel, as a page of another origin fetches it."""

    host: str
    token: str = ""
    """The token of polls; empty for a public channel."""
    key: str = ""
    """The key of publishes; empty with `--dev`."""
    wait: int = 55
    prefix: str = ""
    page_path: str = "/livez"

    @property
    def start(self) -> bytes:
        return b"earliest"

    def poll(self, channel: str, cursor: bytes) -> bytes:
        prefer = f"Prefer: wait={self.wait}\r\n" if self.wait else ""
        return (
            f"GET {self.prefix}/v1/channels/{channel}/events?since={cursor.decode()} HTTP/1.1\r\n"
            f"Host: {self.host}\r\n{BROWSER.format(origin=ORIGIN)}{bearer(self.token)}{prefer}\r\n"
        ).encode()

    def publish(self, channel: str, payload: bytes) -> bytes:
        path = f"{self.prefix}/v1/channels/{channel}/events"
        return post(path, self.host, bearer(self.key), payload)

    def cursor(self, head: bytes, body: bytes) -> bytes:
        # The last cursor of the body is that of the response; those before are the events'.
        at = body.rfind(b'"cursor":"') + 10
        return body[at : body.index(b'"', at)] if at > 9 else b""

    def page(self) -> bytes:
        return (
            f"GET {self.prefix}{self.page_path} HTTP/1.1\r\n"
            f"Host: {self.host}\r\n{BROWSER.format(origin=ORIGIN)}\r\n"
        ).encode()


def bearer(secret: str) -> str:
    """The header line of a token or key; nothing without one."""
    return f"Authorization: Bearer {secret}\r\n" if secret else ""


def post(path: str, host: str, lines: str, payload: bytes) -> bytes:
    """A publish as a back end sends it."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\n{lines}"
        f"Content-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n"
    )
    return head.encode() + payload


def describe(dialect: Dialect) -> dict[str, Any]:
    """A dialect as JSON."""
    kind = type(dialect)
    return {"kind": f"{kind.__module__}:{kind.__qualname__}", **dataclasses.asdict(dialect)}


def restore(description: dict[str, Any]) -> Dialect:
    """The dialect of a description."""
    options = dict(description)
    module, _, name = options.pop("kind").partition(":")
    dialect: Dialect = getattr(importlib.import_module(module), name)(**options)
    return dialect
