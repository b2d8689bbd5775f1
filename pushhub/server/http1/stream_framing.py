"""A stream on its way to one reader: how its parts are framed, and which step comes next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.http.response import Part

if TYPE_CHECKING:
    from pushhub.hub.hold import Hold
    from pushhub.hub.stream import EventStream

CHUNKED = b"transfer-encoding: chunked\r\n"


class StreamFraming:
    """Asks the stream for one step after the other, and remembers what the last one wrote.

    HTTP/1.0 has no chunks: there the body ends with the connection (RFC 9112 §6.3).
    """

    __slots__ = ("_stream", "_written", "chunked")

    def __init__(self, stream: EventStream, *, chunked: bool) -> None:
        self._stream = stream
        self._written: Part | None = None
        self.chunked = chunked

    @property
    def begun(self) -> float:
        """When the stream began, on the hub's clock."""
        return self._stream.begun

    def opening(self, tail: bytes) -> bytes:
        """The response's head. `tail` is header lines of the driver's."""
        return self._stream.opening.opening(tail + CHUNKED if self.chunked else tail)

    def frame(self, part: Part) -> tuple[bytes, ...]:
        """A part as it is written, in pieces, so that a large one is not copied."""
        # The next step needs to know where the part took the reader, and not its bytes.
        self._written = Part(b"", part.moved, part.last)
        if not part.body:
            # A chunk of nothing would be the last one (RFC 9112 §7.1).
            return (b"",)
        if self.chunked:
            return b"%x\r\n" % len(part.body), part.body, b"\r\n"
        return (part.body,)

    def next(self) -> Part | Hold | None:
        """The step after what was written last; None at the end."""
        written, self._written = self._written, None
        return self._stream.next(written)

    def leave(self) -> None:
        """The reader has gone between two steps."""
        self._stream.leave()

    @property
    def end(self) -> bytes:
        """The last bytes."""
        return b"0\r\n\r\n" if self.chunked else b""
