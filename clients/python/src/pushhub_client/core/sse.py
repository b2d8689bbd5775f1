"""Server-Sent Events (WHATWG HTML §9.2), as far as a hub uses them, and proxies that delay them."""

from dataclasses import dataclass

from .pace import SLACK_SECONDS, delay

BEAT_SECONDS = 25.0
"""The time within which the next bytes must come: a hub's stream has a comment every 15 s."""
LATE_SECONDS = 3.0
"""A hub writes a message in one piece. A compressing proxy keeps its last bytes, or all of it,
until more is written: HAProxy's `compression algo gzip` delivers 13 to 26 s late. Networks that
work do not take so long."""
# Held requests do as well meanwhile; twice as long each time, to a day.
_BLOCKED_SECONDS = 300.0
_MOST_BLOCKED_SECONDS = 86_400.0
MOST_BYTES = 16 * 1024 * 1024
"""A message has about 1 MiB at most (docs/api.md); a larger one is not a hub's."""


@dataclass(frozen=True, slots=True)
class StreamMessage:
    """The event, data and retry fields of one message."""

    event: str
    data: bytes
    retry: float


class StreamParser:
    """Splits the bytes of a stream into messages."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    @property
    def partial(self) -> bool:
        """Whether the end of a message is missing."""
        return bool(self._rest)

    def feed(self, chunk: bytes) -> list[StreamMessage]:
        """The messages that are complete with this chunk.

        Raises:
            ValueError: a message of more than `MOST_BYTES`.
        """
        # A hub ends lines with LF.
        *complete, self._rest = (self._rest + chunk).split(b"\n\n")
        if len(self._rest) > MOST_BYTES:
            raise ValueError("A message of the stream is too long for a hub's; check the URL.")
        return [_message(text) for text in complete]


def _message(text: bytes) -> StreamMessage:
    event, data, retry = "", b"", 0.0
    for line in text.split(b"\n"):
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        match name:
            case b"event":
                event = value.decode("utf-8", "replace")
            case b"data":
                # A hub writes JSON on one line.
                data = value
            case b"retry":
                retry = delay(value, 0.001)
    return StreamMessage(event, data, retry)


class StreamBlock:
    """Whether something in between delays streams; then requests are held instead."""

    __slots__ = ("_pause", "_until")

    def __init__(self) -> None:
        self._until = 0.0
        self._pause = _BLOCKED_SECONDS

    def blocked(self, now: float) -> bool:
        """Whether a stream should not be tried now."""
        return now < self._until

    def block(self, now: float) -> None:
        """A stream was delayed."""
        self._until = now + self._pause
        self._pause = min(2 * self._pause, _MOST_BLOCKED_SECONDS)


def patience(heard: bool, partial: bool) -> float:
    """The seconds within which more bytes must come: a hub's first message comes immediately."""
    if partial:
        return LATE_SECONDS
    return BEAT_SECONDS if heard else SLACK_SECONDS
