"""The reply to a request: one `Response`, or the `Part`s of a stream after it."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pushhub.log.cursor import Cursor

Headers = tuple[tuple[bytes, bytes], ...]

STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode()
    for status in HTTPStatus
    if status >= 200
}

# Statuses whose responses have no body, and no length of one (RFC 9110 §6.4.1, §8.6).
BODILESS = frozenset({204, 304})


# A body of which a copy costs more than a second piece to write: sixteen pages.
LARGE_BYTES = 64 * 1024


class Response:
    """A complete response. It is immutable, and shared by all requests with the same response.

    `headers` have lower-case names. The driver adds the length, the date, the connection and the
    access of other origins.
    """

    __slots__ = ("_tail", "_wire", "body", "events", "headers", "status")

    def __init__(
        self, status: int, headers: Headers = (), body: bytes = b"", events: int = 0
    ) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        # The number of events of the log in it, for the statistics.
        self.events = events
        self._tail: bytes | None = None
        self._wire = b""

    def wire(self, tail: bytes = b"") -> bytes:
        """The response as HTTP/1.1 bytes. `tail` is the driver's header lines, each with its CRLF.

        The last result is kept: in a broadcast all holds of one variant are written the same bytes.
        """
        if tail != self._tail:
            # After a 204 or 304 a reader would take a body for the next response.
            self._wire = self.head(tail) + (b"" if self.status in BODILESS else self.body)
            self._tail = tail
        return self._wire

    def pieces(self, tail: bytes = b"") -> tuple[bytes, ...]:
        """The response in one piece, or head and body apart where putting them together would copy
        a large body.
        """
        if len(self.body) > LARGE_BYTES and self.status not in BODILESS:
            return self.head(tail), self.body
        return (self.wire(tail),)

    def head(self, tail: bytes = b"") -> bytes:
        """The response to HEAD: no body, but its length (RFC 9110 §9.3.2)."""
        if self.has_length:
            tail = b"content-length: %d\r\n%b" % (len(self.body), tail)
        return self.opening(tail)

    def opening(self, tail: bytes = b"") -> bytes:
        """The head of a response of unknown length, such as a stream."""
        lines = [STATUS_LINES[self.status]]
        for name, value in self.headers:
            lines += (name, b": ", value, b"\r\n")
        lines += (tail, b"\r\n")
        return b"".join(lines)

    @property
    def has_length(self) -> bool:
        """Whether the response says a Content-Length."""
        return self.status not in BODILESS

    def with_headers(self, *headers: tuple[bytes, bytes]) -> Response:
        """The same response with more headers."""
        return Response(self.status, self.headers + headers, self.body, self.events)

    def __repr__(self) -> str:
        return f"<Response {self.status} {len(self.body)} bytes>"


class LimitedResponse(Response):
    """The refusal by a limit: a client that goes on sending may receive it later."""

    __slots__ = ()


class StreamHead(Response):
    """The response to HEAD where GET opens a stream: its headers without a length."""

    __slots__ = ()

    @property
    def has_length(self) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a stream: bytes, and where they take the reader in each channel.

    After the `last` the stream ends.
    """

    body: bytes
    moved: tuple[tuple[str, Cursor], ...] = ()
    last: bool = False
    events: int = 0


Reply = Response | Part
