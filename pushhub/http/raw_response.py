"""A response with the original status line and header names of an origin."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from pushhub.http.response import BODILESS, Response

if TYPE_CHECKING:
    from pushhub.http.response import Headers

# The headers of the connection and of the response's framing (RFC 9110 §7.6.1, RFC 9112 §6). The
# driver sets them for the bytes that it sends; those of the origin's response are dropped.
FRAMING = frozenset(
    {
        b"connection",
        b"content-length",
        b"keep-alive",
        b"proxy-connection",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)

_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}


def reason_of(status: int) -> bytes:
    """The usual phrase for a status (RFC 9110 §15); empty where there is none."""
    return _REASONS.get(status, b"")


class RawResponse(Response):
    """A response whose headers keep their names as they were sent, in their order.

    It has its own `Date` and its own CORS headers, or none: of what a driver adds it takes the
    lines about the connection only.
    """

    __slots__ = ("reason",)

    def __init__(
        self,
        status: int,
        headers: Headers = (),
        body: bytes = b"",
        *,
        reason: bytes | None = None,
        events: int = 0,
    ) -> None:
        kept = tuple(pair for pair in headers if pair[0].lower() not in FRAMING)
        super().__init__(status, kept, body, events)
        self.reason = reason_of(status) if reason is None else reason

    def head(self, tail: bytes = b"") -> bytes:
        if self.status not in BODILESS:
            tail = b"content-length: %d\r\n%b" % (len(self.body), _connection(tail))
        return self.opening(tail)

    def opening(self, tail: bytes = b"") -> bytes:
        lines = [b"HTTP/1.1 %d %b\r\n" % (self.status, self.reason)]
        for name, value in self.headers:
            lines += (name, b": ", value, b"\r\n")
        lines += (_connection(tail), b"\r\n")
        return b"".join(lines)

    def with_headers(self, *headers: tuple[bytes, bytes]) -> RawResponse:
        return RawResponse(
            self.status, self.headers + headers, self.body, reason=self.reason, events=self.events
        )

    def with_body(self, body: bytes) -> RawResponse:
        """The same response with another body."""
        return RawResponse(self.status, self.headers, body, reason=self.reason, events=self.events)

    def header(self, name: bytes) -> bytes | None:
        """The first header of this lower-case name."""
        return next((value for key, value in self.headers if key.lower() == name), None)


# Lines of a driver that are about this connection and this response's length.
_OURS = (b"connection:", b"content-length:", b"transfer-encoding:")


def _connection(tail: bytes) -> bytes:
    return b"".join(line for line in tail.splitlines(keepends=True) if line.startswith(_OURS))
