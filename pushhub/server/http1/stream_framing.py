"""The framing of an event stream for one reader, as chunks or up to the end of the connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.http.response import Part

if TYPE_CHECKING:
    from pushhub.hub.hold import Hold
    from pushhub.hub.stream import EventStream

CHUNKED = b"transfer-encoding: chunked\r\n"


class StreamFraming:
    """Takes the steps of a stream one by one, and frames their parts.

    HTTP/1.0 has no chunks: there the body ends with the connection (RFC 9112 §6.3).
    """

    __slots__ = ("_stream", "_written", "chunked")

    def __init__(self, stream: EventStream, *, chunked: bool) -> None:
        self._stream = stream
        self._written: Part | None = None
        self.chunked = chunked

    @property
    def begun(self) -> float:
        """The start of the stream, on the hub's clock."""
        return self._stream.begun

    def opening(self, tail: bytes) -> bytes:
        """The head of the response. `tail` are the header lines of the driver."""
        return self._stream.opening.opening(tail + CHUNKED if self.chunked else tail)

    def frame(self, part: Part) -> tuple[bytes, ...]:
        """A framed part, in pieces, so that a large one is not copied."""
        # The next step needs the reader's position after the part, and not its bytes.
        self._written = Part(b"", part.moved, part.last)
        if not part.body:
            # An empty chunk would be the last one (RFC 9112 §7.1).
            return (b"",)
        if self.chunked:
            return b"%x\r\n" % len(part.body), part.body, b"\r\n"
        return (part.body,)

    def next(self) -> Part | Hold | None:
        """The step after the last written part; None at the end."""
        written, self._written = self._written, None
        return self._stream.next(written)

    def leave(self) -> None:
        """The reader has disconnected between two steps."""
        self._stream.leave()

    @property
    def end(self) -> bytes:
        """The last bytes of the body."""
        return b"0\r\n\r\n" if self.chunked else b""
