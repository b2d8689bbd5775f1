"""The head of an origin's response: checked, understood as far as it frames the body, and kept as
it was sent.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING

from pushhub.http.problem import Problem
from pushhub.http.response import BODILESS
from pushhub.origin.request import pairs_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pushhub.origin.client.connection import UpstreamConnection
    from pushhub.origin.request import Pairs

# Any token, any bytes that end no line (RFC 9110 §5.1, §5.5); many origins send UTF-8, or Latin-1.
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_START = re.compile(rb"HTTP/1\.([01]) ([1-9]\d\d)(?: [\t\x20-\x7e\x80-\xff]*)?\r\n")
_LINES = re.compile(rb"(?:" + _TOKEN + rb":[^\r\n\0]*\r\n)*\r\n")
# What a gateway mends before it passes a response on: RFC 9112 §5.2 and §5.1.
_FOLD = re.compile(rb"[\t ]*\r\n[\t ]+")
_SPACED = re.compile(rb"^(" + _TOKEN + rb")[\t ]+:", re.MULTILINE)
# The headers that matter here: what frames the body, and what is for one connection.
_NOTED = re.compile(
    rb"\n(connection|content-length|keep-alive|proxy-connection|te|transfer-encoding|upgrade)"
    rb":[\t ]*([^\r]*)",
    re.IGNORECASE,
)
_LENGTH = re.compile(rb"\d{1,18}")

# What else goes with the connection is in the same table of RFC 9110 §7.6.1; these two frame.
_FRAMING = (b"content-length", b"transfer-encoding")


class UpstreamResponse:
    """The head of a response, and its body as it comes in.

    `pairs` are its headers as sent. `length` is what Content-Length says, 0 where there is no body
    at all, and None if the body is `chunked`, or ends with the connection. `reusable` is whether
    the connection can have another request after it. `names_body` is whether the headers say that
    there is one, though a response to HEAD, a 204 and a 304 are `bodiless`.

    Raises:
        Problem: 502, it is no response, or its body could be read in two ways (RFC 9112 §6.3).
    """

    def __init__(self, head: bytes, method: str) -> None:
        start = _START.match(head)
        if start is None:
            raise garbage("its first line is no status line of HTTP/1")
        if _LINES.fullmatch(head, start.end()) is None:
            head = _SPACED.sub(rb"\1:", _FOLD.sub(b" ", head))
            start = _START.match(head)
            if start is None or _LINES.fullmatch(head, start.end()) is None:
                raise garbage("its headers are none")
        self.link: UpstreamConnection | None = None
        self.kept = False
        """Whether somebody goes on reading it when its passage has ended, and will close it."""
        self.status = int(start[2])
        self.raw = head
        self._start = start.end()
        self._noted = noted = [
            (name.lower(), value.strip(b" \t"))
            for name, value in _NOTED.findall(head, start.end() - 1)
        ]
        codings = [value.lower() for name, value in noted if name == b"transfer-encoding"]
        lengths = {
            part.strip(b" \t")
            for name, value in noted
            if name == b"content-length"
            for part in value.split(b",")
        }
        if len(lengths) > 1 or (lengths and not _LENGTH.fullmatch(next(iter(lengths)))):
            raise garbage("its Content-Length is not one number")
        if lengths and codings:
            raise garbage("it has Content-Length and Transfer-Encoding")
        self.chunked = bool(codings) and codings[-1].split(b",")[-1].strip() == b"chunked"
        self.bodiless = method == "HEAD" or self.status in BODILESS or self.status < 200
        self.length = int(lengths.pop()) if lengths else 0 if self.bodiless else None
        self.names_body = bool(self.length) or bool(codings)
        http_1_0 = start[1] == b"0"
        if http_1_0 and self.chunked:
            raise garbage("HTTP/1.0 has no Transfer-Encoding")
        tokens = self._connection
        self.reusable = (b"keep-alive" in tokens if http_1_0 else b"close" not in tokens) and (
            self.chunked or self.length is not None
        )
        if self.bodiless and (codings or (self.status == 204 and self.length)):
            # Its body may follow (RFC 9112 §6.3 says that it must not); and a 204 has no length at
            # all (RFC 9110 §8.6).
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
            for name, value in self._noted
            if name == b"connection"
            for token in value.split(b",")
        )

    def opening(self, *, framed: bool = True) -> bytes:
        """The status line and the headers that are not for one connection, each line as it was
        sent; without the empty line. Without `framed`, Transfer-Encoding is taken off, too.
        """
        raw, begin = self.raw, self._start
        start = b"HTTP/1.1" + raw[8:begin]
        if not self._noted or (len(self._noted) == 1 and self._noted[0][0] in _FRAMING and framed):
            return start + raw[begin:-2]
        kept = [start]
        # Whoever lists a header that frames the message would have it read in two ways.
        dropped = {name for name, _ in self._noted} | self._connection
        dropped -= {b"content-length", b"transfer-encoding"} if framed else {b"content-length"}
        length = False
        for line in raw[begin:-2].splitlines(keepends=True):
            name = line[: line.index(b":")].lower()
            if name in dropped or (length and name == b"content-length"):
                continue
            length = length or name == b"content-length"
            kept.append(line)
        return b"".join(kept)

    @property
    def ready(self) -> bool:
        """Whether `piece` has something to return, if only the end, without waiting."""
        return self.link is None or self.link.ready

    async def piece(self) -> bytes:
        """The next piece of the body, still encoded as the origin encoded it; empty at its end.

        Raises:
            Problem: the origin stopped in the middle of it, or for too long.
        """
        return await self.link.piece() if self.link is not None else b""

    async def wired(self) -> bytes:
        """As `piece`, but as on the wire: a chunked body comes with its chunks and trailers."""
        return await self.link.wired() if self.link is not None else b""

    async def body(self) -> AsyncIterator[bytes]:
        """The body in pieces, as `piece` gives them."""
        while piece := await self.piece():
            yield piece

    def close(self) -> None:
        """Give the connection back, if the body was read to its end; else close it."""
        link, self.link = self.link, None
        if link is not None:
            link.leave()

    def __repr__(self) -> str:
        return f"<Response {self.status}>"


def garbage(why: str) -> Problem:
    """The refusal of what is no response."""
    return Problem("bad-gateway", f"The origin's response cannot be passed on: {why}.")


def may_begin(data: bytes) -> bool:
    """Whether these may be the first bytes of a response."""
    return data.startswith(b"HTTP/1."[: len(data)])
