"""The body of a request: finds its end, and refuses ambiguous framing."""

from __future__ import annotations

import re

from pushhub.http.problem import Problem

# The size in hexadecimal, and an unused extension (RFC 9112 §7.1.1). Fifteen digits are
# an exabyte: more overflows the integers of other parsers, which then read another length.
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,8})\r\n")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t\x20-\x7e]*)?")
# A field after the last chunk (RFC 9112 §5, §7.1.2), as strict as the ones before the body.
_TRAILER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*")
MAX_CHUNK_LINE_BYTES = 256
MAX_TRAILER_BYTES = 8 * 1024


class RequestBody:
    """Parses the bytes after a head up to the end of the body.

    `feed` consumes the bytes of the body and returns their number; `payload` is the decoded body.
    When `done`, the bytes that were not consumed belong to the next request.
    """

    __slots__ = ("done", "payload")

    def __init__(self) -> None:
        self.payload = bytearray()
        self.done = False

    def feed(self, data: bytes) -> int:
        """Consume bytes; return how many of them belong to the body.

        Raises:
            Problem: the bytes are no body.
        """
        raise AssertionError("a body is of a length, or chunked")


class SizedBody(RequestBody):
    """A body of `Content-Length` bytes."""

    __slots__ = ("_left",)

    def __init__(self, length: int) -> None:
        super().__init__()
        self._left = length

    def feed(self, data: bytes) -> int:
        taken = data[: self._left]
        self._left -= len(taken)
        self.payload += taken
        self.done = not self._left
        return len(taken)


class ChunkedBody(RequestBody):
    """A body in chunks (RFC 9112 §7.1). Trailers are skipped: no field of them is used."""

    __slots__ = ("_left", "_line", "_trailer")

    # The values of `_left` while no chunk is open.
    _SIZE, _CRLF, _TRAILER = -1, -2, -3

    def __init__(self) -> None:
        super().__init__()
        self._left = self._SIZE
        self._line = b""
        self._trailer = 0

    def feed(self, data: bytes) -> int:
        position = 0
        while position < len(data) and not self.done:
            if self._left > 0:
                piece = data[position : position + self._left]
                self.payload += piece
                self._left -= len(piece)
                position += len(piece)
                if not self._left:
                    self._left = self._CRLF
            elif (
                self._left == self._SIZE
                and not self._line
                and (size := _SIZE_LINE.match(data, position))
            ):
                position = self._whole(data, position, size)
            else:
                position = self._control(data, position)
        return position

    def _whole(self, data: bytes, position: int, size: re.Match[bytes]) -> int:
        """Parse a chunk that has arrived completely in one step: a body may consist of tiny chunks
        only.
        """
        begin = size.end()
        end = begin + int(size[1], 16)
        if begin == end or data[end : end + 2] != b"\r\n":
            return self._control(data, position)
        self.payload += data[begin:end]
        return end + 2

    def _control(self, data: bytes, position: int) -> int:
        end = data.find(b"\n", position)
        stop = len(data) if end < 0 else end + 1
        self._line += data[position:stop]
        if len(self._line) > MAX_CHUNK_LINE_BYTES and self._left != self._TRAILER:
            raise _bad("A chunk's first line is a size and little else.")
        if self._left == self._CRLF and not b"\r\n".startswith(self._line[:2]):
            raise _bad("A chunk is longer than its size says.")
        if self._left == self._TRAILER and self._trailer + len(self._line) > MAX_TRAILER_BYTES:
            raise Problem(
                "header-too-large", f"Trailers must have at most {MAX_TRAILER_BYTES} bytes."
            )
        if end >= 0:
            line, self._line = self._line, b""
            if not line.endswith(b"\r\n") or line.count(b"\r") > 1:
                raise _bad("Every line of a chunked body must end with CR LF.")
            self._ended(line[:-2])
        return stop

    def _ended(self, line: bytes) -> None:
        if self._left == self._SIZE:
            size = _CHUNK.fullmatch(line)
            if size is None:
                raise _bad("A chunk's size is a hexadecimal number of at most 15 digits.")
            self._left = int(size[1], 16) or self._TRAILER
        elif self._left == self._CRLF:
            self._left = self._SIZE
        elif line:
            if not _TRAILER.fullmatch(line):
                raise _bad("A trailer is a name, a colon and a value.")
            self._trailer += len(line)
        else:
            self.done = True


def _bad(detail: str) -> Problem:
    return Problem("bad-request", detail)


def too_large(limit: int) -> Problem:
    """The refusal of a body over its endpoint's limit."""
    return Problem("too-large", f"A body of this route has at most {limit} bytes.", limit=limit)
