"""The messages of a Server-Sent Events stream, from its bytes (WHATWG HTML §9.2.6)."""

from __future__ import annotations

from typing import NamedTuple


class StreamMessage(NamedTuple):
    """One message. Without `data` it only gives the reader a position."""

    id: str
    event: str
    data: str | None


class MessageReader:
    """Reads messages from the pieces of a stream whose lines end with a line feed."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> list[StreamMessage]:
        """The messages that `piece` completes; comments and empty messages are left out."""
        *blocks, self._rest = (self._rest + piece).split(b"\n\n")
        return [message for block in blocks if (message := _message(block)) is not None]


def _message(block: bytes) -> StreamMessage | None:
    fields = [line.partition(b": ") for line in block.split(b"\n") if not line.startswith(b":")]
    values = {name: value.decode() for name, _, value in fields if name in (b"id", b"event")}
    data = [value for name, _, value in fields if name == b"data"]
    text = b"\n".join(data).decode() if data else None
    if text is None and b"id" not in values:
        return None
    return StreamMessage(values.get(b"id", ""), values.get(b"event", ""), text)
