"""The head of an origin's response: checked, parsed for the body's framing, and kept as sent."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from pushhub.http.problem import Problem
from pushhub.http.response import BODILESS
from pushhub.origin.request import pairs_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator

    from pushhub.origin.request import Pairs

# Any token, any bytes that end no line (RFC 9110 §5.1, §5.5); many origins send UTF-8, or Latin-1.
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_START = re.compile(rb"HTTP/1\.([01]) ([1-9]\d\d)(?: [\t\x20-\x7e\x80-\xff]*)?\r\n")
_LINES = re.compile(rb"(?:" + _TOKEN + rb":[^\r\n\0]*\r\n)*\r\n")
# The faults that a gateway repairs before it passes a response on: RFC 9112 §5.2 and §5.1.
# A fold begins at the first of its spaces; a search from each of them would take quadratic time.
_FOLD = re.compile(rb"(?<![\t ])[\t ]*\r\n[\t ]+")
_SPACED = re.compile(rb"^(" + _TOKEN + rb")[\t ]+:", re.MULTILINE)
# The headers that frame the body, and those of a single connection.
_PARSED = re.compile(
    rb"\n(connection|content-length|keep-alive|proxy-connection|te|transfer-encoding|upgrade)"
    rb":[\t ]*([^\r]*)",
    re.IGNORECASE,
)
_NOTIFY_NAME = b"\nx-pushhub-notify:"
_NOTIFY = re.compile(rb"(?<=\n)x-pushhub-notify:([^\r]*)\r\n", re.IGNORECASE)
_LENGTH = re.compile(rb"\d{1,18}")

# Of these the ones that frame the body; RFC 9110 §7.6.1 lists the others.
_FRAMING = (b"content-length", b"transfer-encoding")


class ResponseConnection(Protocol):
    """The connection that a response is received on."""

    @property
    def transport(self) -> asyncio.Transport: ...
    @property
    def is_readable(self) -> bool: ...
    async def read(self) -> bytes: ...
    async def read_raw(self) -> bytes: ...
    def release(self) -> None: ...
    def detach(self) -> bytes: ...


class UpstreamResponse:
    """The head of a response, and its body as it is received.

    `pairs` are its headers as sent. `length` is the number of Content-Length, 0 if there is no body
    at all, and None if the body is `chunked`, or ends with the connection. `reusable` says whether
    the connection can carry another request after it. `names_body` says whether the headers
    announce a body; the response to HEAD, a 1xx, a 204 and a 304 are `bodiless` nevertheless.
    `notified` are the values of X-Pushhub-Notify, a header for pushhub alone: `raw` and `pairs` are
    without it.

    Raises:
        Problem: 502, the head is invalid, or its body could be read in two ways (RFC 9112 §6.3).
    """

    def __init__(self, head: bytes, method: str) -> None:
        start = _START.match(head)
        if start is None:
            raise bad_response("its first line is no status line of HTTP/1")
        if _LINES.fullmatch(head, start.end()) is None:
            head = _SPACED.sub(rb"\1:", _FOLD.sub(b" ", head))
            start = _START.match(head)
            if start is None or _LINES.fullmatch(head, start.end()) is None:
                raise bad_response("its headers are none")
        self.notified: tuple[bytes, ...] = ()
        if _NOTIFY_NAME in head.lower():
            self.notified = tuple(_NOTIFY.findall(head))
            head = _NOTIFY.sub(b"", head)
        self.connection: ResponseConnection | None = None
        self.is_streamed = False
        """Whether a stream goes on reading it when its exchange has ended, and closes it then."""
        self.status = int(start[2])
        self.raw = head
        self._start = start.end()
        self._parsed = parsed = [
            (name.lower(), value.strip(b" \t"))
            for name, value in _PARSED.findall(head, start.end() - 1)
        ]
        codings = [value.lower() for name, value in parsed if name == b"transfer-encoding"]
        lengths = {
            part.strip(b" \t")
            for name, value in parsed
            if name == b"content-length"
            for part in value.split(b",")
        }
        if len(lengths) > 1 or (lengths and not _LENGTH.fullmatch(next(iter(lengths)))):
            raise bad_response("its Content-Length is not one number")
        if lengths and codings:
            raise bad_response("it has Content-Length and Transfer-Encoding")
        self.chunked = bool(codings) and codings[-1].split(b",")[-1].strip() == b"chunked"
        self.bodiless = method == "HEAD" or self.status in BODILESS or self.status < 200
        self.length = int(lengths.pop()) if lengths else 0 if self.bodiless else None
        self.names_body = bool(self.length) or bool(codings)
        http_1_0 = start[1] == b"0"
        if http_1_0 and self.chunked:
            raise bad_response("HTTP/1.0 has no Transfer-Encoding")
        tokens = self._connection
        self.reusable = (b"keep-alive" in tokens if http_1_0 else b"close" not in tokens) and (
            self.chunked or self.length is not None
        )
        if self.bodiless and (codings or (self.status == 204 and self.length)):
            # Some origins send a body all the same (against RFC 9112 §6.3), and a 204 must have no
            # length (RFC 9110 §8.6).
            self.reusable = False

    @property
    def reason(self) -> bytes:
        """The reason phrase as sent; it may be empty."""
        return self.raw[13 : self._start - 2]

    @cached_property
    def pairs(self) -> Pairs:
        """The headers as sent."""
        return pairs_of(self.raw)

    @cached_property
    def _connection(self) -> frozenset[bytes]:
        return frozenset(
            token.strip(b" \t").lower()
            for name, value in self._parsed
            if name == b"connection"
            for token in value.split(b",")
        )

    def opening(self, *, framed: bool = True) -> bytes:
        """The status line and the end-to-end headers, each line as it was sent; without the empty
        line. Without `framed`, Transfer-Encoding is removed, too.
        """
        raw, begin = self.raw, self._start
        start = b"HTTP/1.1" + raw[8:begin]
        if not self._parsed or (
            len(self._parsed) == 1 and self._parsed[0][0] in _FRAMING and framed
        ):
            return start + raw[begin:-2]
        kept = [start]
        # Connection may not name a header that frames the message: two parsers would read it in two
        # ways.
        dropped = {name for name, _ in self._parsed} | self._connection
        dropped -= {b"content-length", b"transfer-encoding"} if framed else {b"content-length"}
        length = False
        for line in raw[begin:-2].splitlines(keepends=True):
            name = line[: line.index(b":")].lower()
            if name in dropped or (length and name == b"content-length"):
                continue
            length = length or name == b"content-length"
            kept.append(line)
        return b"".join(kept)

    def set_header(self, name: bytes, value: bytes) -> None:
        """Replace a header that does not frame the message; all other lines stay as they were."""
        start, lines = self.raw[: self._start], self.raw[self._start : -2].splitlines(keepends=True)
        prefix = name.lower() + b":"
        kept = [line for line in lines if not line.lower().startswith(prefix)]
        self.raw = b"".join((start, *kept, name, b": ", value, b"\r\n\r\n"))
        self.__dict__.pop("pairs", None)

    @property
    def is_readable(self) -> bool:
        """Whether `read` returns without waiting, be it the end."""
        return self.connection is None or self.connection.is_readable

    async def read(self) -> bytes:
        """The next piece of the body, with its content coding; empty at its end.

        Raises:
            Problem: the body broke off, or the origin was silent for too long.
        """
        return await self.connection.read() if self.connection is not None else b""

    async def read_raw(self) -> bytes:
        """As `read`, but as on the wire: a chunked body with its chunks and trailers."""
        return await self.connection.read_raw() if self.connection is not None else b""

    async def body(self) -> AsyncIterator[bytes]:
        """The body in pieces, as `read` returns them."""
        while piece := await self.read():
            yield piece

    def close(self) -> None:
        """Return the connection to the pool, if the body was read to its end; else close it."""
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.release()

    def __repr__(self) -> str:
        return f"<UpstreamResponse {self.status}>"


def bad_response(why: str) -> Problem:
    """The error for bytes that are no valid response."""
    return Problem("bad-gateway", f"The origin's response cannot be passed on: {why}.")


def may_begin(data: bytes) -> bool:
    """Whether a response may begin with these bytes."""
    return data.startswith(b"HTTP/1."[: len(data)])
