"""A request of the client, and the responses that a case can give it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from pushhub.conformance.scripted_server import ScriptedConnection

_REASONS = {200: "OK", 304: "Not Modified", 307: "Temporary Redirect", 410: "Gone"}
_FEED = "/v1/channels/"
# Problem types as docs/problems.md has them.
_PROBLEM = "urn:pushhub:problem:"


def to_json(document: Any) -> bytes:
    """JSON in UTF-8, as a hub writes it."""
    return json.dumps(document, ensure_ascii=False).encode()


def wait_of(text: str) -> int | None:
    """The seconds of a `Prefer` header (RFC 7240)."""
    for part in text.split(","):
        name, _, value = part.partition("=")
        if name.strip().lower() == "wait" and value.strip().strip('"').isdecimal():
            return int(value.strip().strip('"'))
    return None


@dataclass(slots=True)
class ScriptedRequest:
    """One request. `arrived` and `ended` are seconds of the event loop's clock."""

    connection: ScriptedConnection
    method: str
    url: str
    headers: dict[str, str]
    body: bytes
    arrived: float
    path: str = ""
    query: dict[str, str] = field(default_factory=dict)
    document: dict[str, Any] = field(default_factory=dict)
    ended: float | None = None
    streaming: bool = False
    kept_back: list[bytes] | None = None
    """With a list, pieces of the stream are added to it in place of being sent."""

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        self.path = parts.path
        self.query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        if self.method == "POST":
            try:
                document = json.loads(self.body)
            except ValueError:
                document = None
            self.document = document if isinstance(document, dict) else {}

    # -- what the client requests --------------------------------------------------

    @property
    def channel(self) -> str | None:
        """The channel of a feed."""
        segments = self.path.removeprefix(_FEED).split("/")
        if not self.path.startswith(_FEED) or len(segments) != 2 or segments[1] != "events":
            return None
        return unquote(segments[0])

    @property
    def many(self) -> bool:
        """Whether the request reads many channels."""
        return self.method == "POST" and self.path == "/v1/poll"

    @property
    def is_read(self) -> bool:
        """Whether the request reads channels."""
        return self.many or (self.method == "GET" and self.channel is not None)

    @property
    def streams(self) -> bool:
        """Whether the client asks for a stream."""
        return "text/event-stream" in self.headers.get("accept", "")

    @property
    def positions(self) -> dict[str, str]:
        """The position of each channel."""
        if self.many:
            channels = self.document.get("channels")
            return {str(k): str(v) for k, v in channels.items()} if channels else {}
        if self.channel is None:
            return {}
        since = self.query.get("since", "earliest")
        last = self.headers.get("last-event-id") if self.streams else None
        return {self.channel: last or since}

    @property
    def wait(self) -> int | None:
        """The seconds that the client wants to wait, if it opts in."""
        header = wait_of(self.headers.get("prefer", ""))
        if header is None and self.many and isinstance(self.document.get("wait"), int | float):
            header = int(self.document["wait"])
        if header is None:
            text = self.headers.get("wait", self.query.get("wait", ""))
            header = int(text) if text.isdecimal() else None
        return header or None

    @property
    def shown(self) -> str:
        """The request in a sentence."""
        return f"{self.method} {self.url}" + (f" {self.body.decode()}" if self.body else "")

    # -- responses -----------------------------------------------------------------

    def respond(
        self, status: int, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> None:
        """Send a complete response."""
        if self.ended is not None:
            return
        fields = {"Date": formatdate(usegmt=True), **(headers or {})}
        if status != 304:
            fields["Content-Length"] = str(len(body))
        head = f"HTTP/1.1 {status} {_REASONS.get(status, 'Status')}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self.connection.write(head.encode() + b"\r\n" + (b"" if status == 304 else body))
        self.end(close=fields.get("Connection", "").lower() == "close")

    def respond_json(
        self, document: Any, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        """Send a JSON document."""
        applied = self.wait and {"Preference-Applied": f"wait={self.wait}"}
        fields = {
            "Content-Type": "application/json",
            "Cache-Control": "no-store",
            **(applied or {}),
        }
        self.respond(status, to_json(document), fields | (headers or {}))

    def refuse(
        self, status: int, slug: str, headers: dict[str, str] | None = None, **members: Any
    ) -> None:
        """Send a problem (RFC 9457)."""
        problem = {"type": _PROBLEM + slug, "title": slug, "status": status}
        fields = {"Content-Type": "application/problem+json", **(headers or {})}
        self.respond(status, to_json(problem | members), fields)

    def begin_stream(self) -> None:
        """Send the head of a stream."""
        self.streaming = True
        self.connection.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
            b"Cache-Control: no-store, no-transform\r\nTransfer-Encoding: chunked\r\n"
            b"Date: " + formatdate(usegmt=True).encode() + b"\r\n\r\n"
        )

    def write(self, data: bytes) -> None:
        """Write a piece of the stream."""
        if self.kept_back is not None:
            self.kept_back.append(data)
            return
        self.connection.write(b"%x\r\n%s\r\n" % (len(data), data))

    def end_stream(self) -> None:
        """End the stream as a server does that closes it."""
        self.connection.write(b"0\r\n\r\n")
        self.end()

    def end(self, close: bool = False) -> None:
        """Note the end of the response."""
        if self.ended is None:
            self.ended = self.connection.now()
            if close:
                self.connection.close()

    def cut(self) -> None:
        """Reset the connection, as a network that fails."""
        if self.ended is None:
            self.ended = self.connection.now()
            self.connection.reset()
