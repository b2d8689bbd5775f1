"""Server-Sent Events (WHATWG HTML §9.2): their bytes, and the polls that a stream is a loop of."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import orjson

from pushhub.http.response import Answer, Part, StreamHead
from pushhub.log.cursor import Cursor, Since
from pushhub.log.read import Gap, Page, Read
from pushhub.polls.base import AT_ONCE, Hint, Positions, Want
from pushhub.polls.feed import VARY
from pushhub.polls.multi import Merged, encode, merge

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from pushhub.http.problem import Problem
    from pushhub.log.event import Event

# A proxy that compresses a stream keeps its events until a block is full: HAProxy for 13 to 26 s.
# `no-transform` forbids it to (RFC 9111 §5.2.2.6).
NO_TRANSFORM = (b"cache-control", b"no-store, no-transform")

OPENING = Answer(
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

# How long a browser waits before it reconnects, unless it is told otherwise when it is sent away.
# Its own default is about as long; but what it was last told, it keeps. Each stream is told one of
# 16 waits from 2 to 5 s, so that a crowd whose connections broke together does not come back
# together. They are few, so that streams that are told the same share their bytes.
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


def farewell(retry_ms: int | None) -> bytes:
    """The last bytes of a stream that the server ends: when to come back."""
    return KEEP_ALIVE if retry_ms is None else b"retry: %d\n\n" % retry_ms


class FeedStream:
    """One turn of a stream of one channel. `data` is as published, or base64 if no text; with
    `envelope` it is the event as a feed lists it.
    """

    __slots__ = ("beat", "channel", "envelope", "first", "retry_ms", "variant", "wait", "wants")

    kind = "stream"

    def __init__(
        self,
        channel: str,
        since: Since,
        limit: int,
        *,
        first: bool,
        wait: int = KEEP_ALIVE_SECONDS,
        retry_ms: int = RETRY_MS,
        envelope: bool = False,
    ) -> None:
        self.channel = channel
        self.retry_ms = retry_ms
        self.envelope = envelope
        self.wants = (Want(channel, since, limit),)
        self.first = first
        self.beat = wait
        # The first turn is answered at once, even if with no more than a position.
        self.wait = None if first else wait
        self.variant: Hashable = ("sse", limit, envelope, retry_ms if first else None)

    def answer(self, reads: Mapping[str, Read], hint: Hint = AT_ONCE) -> Part | None:
        read = reads[self.channel]
        if isinstance(read, Gap):
            told = self.retry_ms if self.first else None
            body = message(_gap_json(read), event="gap", id=str(read.oldest), retry_ms=told)
            return Part(body, ((self.channel, read.oldest),))
        if not read.events:
            # The first turn tells the reader where it stands, before anything happens.
            return (
                Part(self._position(read.cursor), ((self.channel, read.cursor),))
                if self.first
                else None
            )
        epoch = read.cursor.epoch
        parts = [self._message(event, epoch) for event in read.events]
        if self.first and isinstance(since := self.wants[0].since, Cursor):
            parts.insert(0, self._position(since))
        elif self.first:
            parts.insert(0, self._position(Cursor(epoch, read.events[0].offset - 1)))
        return Part(b"".join(parts), ((self.channel, read.cursor),), events=len(read.events))

    def position(self, channel: str, read: Read) -> Cursor:
        return read.cursor if isinstance(read, Page) else read.oldest

    def nothing(self, at: Positions, hint: Hint) -> Part:
        return _idle(hint)

    def refuse(self, problem: Problem) -> Part:
        return Part(farewell(None), last=True)

    def turn(self, part: Part) -> FeedStream:
        """The next turn, after `part` was written."""
        if not part.moved:
            return self
        ((channel, cursor),) = part.moved
        return FeedStream(
            channel,
            cursor,
            self.wants[0].limit,
            first=False,
            wait=self.beat,
            envelope=self.envelope,
        )

    def _position(self, cursor: Cursor) -> bytes:
        return position(str(cursor), self.retry_ms)

    def _message(self, event: Event, epoch: str) -> bytes:
        # The id is a position in the log's present life, from which a reader can go on; the event
        # may be older than it.
        id = f"{epoch}-{event.offset}"
        if self.envelope:
            return message(event.json_in(epoch), event=event.type, id=id)
        return message(event.text, event=event.type, id=id, encoding=event.encoding)


class ManyStream:
    """One turn of a stream of many channels.

    Each message is one answer of `/v1/poll`; one with gaps is of the type `gap`.
    """

    __slots__ = ("beat", "first", "limit", "retry_ms", "wait", "wants")

    kind = "stream of many"
    variant = None

    def __init__(
        self,
        wants: tuple[Want, ...],
        limit: int,
        *,
        first: bool,
        wait: int = KEEP_ALIVE_SECONDS,
        retry_ms: int = RETRY_MS,
    ) -> None:
        self.retry_ms = retry_ms
        self.wants = wants
        self.limit = limit
        self.first = first
        self.beat = wait
        # The first turn is answered at once, even if with no more than a position.
        self.wait = None if first else wait

    def answer(self, reads: Mapping[str, Read], hint: Hint = AT_ONCE) -> Part | None:
        merged = merge(self.wants, reads, self.limit)
        if not (merged.events or merged.gaps or self.first):
            return None
        return self._part(merged, hint)

    def position(self, channel: str, read: Read) -> Cursor:
        return read.cursor if isinstance(read, Page) else read.oldest

    def nothing(self, at: Positions, hint: Hint) -> Part:
        return _idle(hint)

    def refuse(self, problem: Problem) -> Part:
        return Part(farewell(None), last=True)

    def turn(self, part: Part) -> ManyStream:
        """The next turn, after `part` was written."""
        if not (part.moved or self.first):
            return self
        moved = dict(part.moved)
        wants = tuple(
            Want(want.channel, moved.get(want.channel, want.since), want.limit)
            for want in self.wants
        )
        return ManyStream(wants, self.limit, first=False, wait=self.beat)

    def _part(self, merged: Merged, hint: Hint) -> Part:
        told = self.retry_ms if self.first else None
        body = message(encode(merged, hint), event="gap" if merged.gaps else "", retry_ms=told)
        return Part(body, tuple(merged.cursors.items()), events=len(merged.events))


def _gap_json(gap: Gap) -> bytes:
    return orjson.dumps(
        {"reason": gap.reason, "oldest": str(gap.oldest), "latest": str(gap.latest)}
    )


def _idle(hint: Hint) -> Part:
    if hint.retry_ms is None:
        return Part(KEEP_ALIVE)
    return Part(farewell(hint.retry_ms), last=True)
