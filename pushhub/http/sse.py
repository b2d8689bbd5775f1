"""Server-Sent Events (WHATWG HTML §9.2): the head of a stream, and the bytes of its messages."""

from __future__ import annotations

import re

from pushhub.http.caching import NO_TRANSFORM, VARY
from pushhub.http.response import Response, StreamHead

OPENING = Response(
    200,
    (
        (b"content-type", b"text/event-stream; charset=utf-8"),
        NO_TRANSFORM,
        VARY,
        # nginx would otherwise collect the stream until its buffer is full.
        (b"x-accel-buffering", b"no"),
    ),
)
HEAD_OF_STREAM = StreamHead(OPENING.status, OPENING.headers)

# A comment keeps proxies from cutting an idle stream; WHATWG advises one every 15 seconds or so.
KEEP_ALIVE_SECONDS = 15
KEEP_ALIVE = b":\n\n"

# How long a browser waits before it reconnects, unless the end of the stream gives another time.
# The default of browsers is similar; but a browser keeps the last time that it received. Each
# stream sends one of 16 times from 2 to 5 s, so that clients whose connections broke together do
# not reconnect together. They are few, so that streams with equal times share their bytes.
RETRY_MS = 3000
RETRIES_MS = tuple(range(2000, 5001, 200))

_LINE_END = re.compile(b"\r\n|\r|\n")


def message(
    data: bytes,
    event: str = "",
    id: str = "",
    retry_ms: int | None = None,
    encoding: str = "",
) -> bytes:
    """One event-stream message. Drafts see to it that `event` and `id` have no line ends.

    `encoding` becomes a field of its own, which browsers ignore (WHATWG HTML §9.2.6).

    Every line of the data gets its own field; a reader joins them with line feeds. So a carriage
    return in text reaches the reader as a line feed, which is the format's own rule.
    """
    lines = []
    if id:
        lines.append(b"id: " + id.encode())
    if event:
        lines.append(b"event: " + event.encode())
    if retry_ms is not None:
        lines.append(b"retry: %d" % retry_ms)
    if encoding:
        lines.append(b"encoding: " + encoding.encode())
    lines += [b"data: " + line for line in _LINE_END.split(data)]
    # The end of the last line, and an empty one.
    return b"\n".join([*lines, b"", b""])


def position(id: str, retry_ms: int = RETRY_MS) -> bytes:
    """An id without data: the reader takes it as its last, and sees no event."""
    return b"id: %b\nretry: %d\n\n" % (id.encode(), retry_ms)


def stream_end(retry_ms: int | None) -> bytes:
    """The last bytes of a stream that the server ends: when to come back."""
    return KEEP_ALIVE if retry_ms is None else b"retry: %d\n\n" % retry_ms
