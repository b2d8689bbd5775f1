"""The polls of a Server-Sent Events stream: the stream is a loop of them, one a turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from pushhub.http.response import Part
from pushhub.http.sse import KEEP_ALIVE, KEEP_ALIVE_SECONDS, RETRY_MS, message, position, stream_end
from pushhub.log.cursor import Cursor, Since
from pushhub.log.read import Gap, Page, Read
from pushhub.polls.base import NO_HINT, ChannelPoll, ChannelRead, Hint, Positions
from pushhub.polls.multi import Merged, encode, merge

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from pushhub.http.problem import Problem
    from pushhub.log.event import Event


class FeedStream(ChannelPoll):
    """One turn of a stream of one channel. `data` is as published, or base64 if no text; with
    `envelope` it is the event as a feed lists it.
    """

    __slots__ = (
        "channel",
        "envelope",
        "first",
        "keep_alive_seconds",
        "retry_ms",
        "variant",
        "wait",
    )

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
        self.reads = (ChannelRead(channel, since, limit),)
        self.first = first
        self.keep_alive_seconds = wait
        # The first turn gets its reply immediately, even if it is only a position.
        self.wait = None if first else wait
        self.variant: Hashable = ("sse", limit, envelope, retry_ms if first else None)

    def reply(self, reads: Mapping[str, Read], hint: Hint = NO_HINT) -> Part | None:
        read = reads[self.channel]
        if isinstance(read, Gap):
            retry_ms = self.retry_ms if self.first else None
            body = message(_gap_json(read), event="gap", id=str(read.oldest), retry_ms=retry_ms)
            return Part(body, ((self.channel, read.oldest),))
        if not read.events:
            # The first turn gives the reader its position before any event.
            return (
                Part(self._position(read.cursor), ((self.channel, read.cursor),))
                if self.first
                else None
            )
        epoch = read.cursor.epoch
        parts = [self._message(event, epoch) for event in read.events]
        if self.first and isinstance(since := self.reads[0].since, Cursor):
            parts.insert(0, self._position(since))
        elif self.first:
            parts.insert(0, self._position(Cursor(epoch, read.events[0].offset - 1)))
        return Part(b"".join(parts), ((self.channel, read.cursor),), events=len(read.events))

    def position(self, channel: str, read: Read) -> Cursor:
        return read.cursor if isinstance(read, Page) else read.oldest

    def empty(self, at: Positions, hint: Hint) -> Part:
        return _idle(hint)

    def error(self, problem: Problem) -> Part:
        return _error(problem)

    def turn(self, part: Part) -> FeedStream:
        """The next turn, after `part` was written."""
        if not part.moved:
            return self
        ((channel, cursor),) = part.moved
        return FeedStream(
            channel,
            cursor,
            self.reads[0].limit,
            first=False,
            wait=self.keep_alive_seconds,
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


class MultiStream:
    """One turn of a stream of many channels.

    Each message has the body of a response of `/v1/poll`; one with gaps has the type `gap`.
    """

    __slots__ = ("first", "keep_alive_seconds", "limit", "reads", "retry_ms", "wait")

    kind = "stream of many"
    variant = None

    def __init__(
        self,
        channel_reads: tuple[ChannelRead, ...],
        limit: int,
        *,
        first: bool,
        wait: int = KEEP_ALIVE_SECONDS,
        retry_ms: int = RETRY_MS,
    ) -> None:
        self.retry_ms = retry_ms
        self.reads = channel_reads
        self.limit = limit
        self.first = first
        self.keep_alive_seconds = wait
        # The first turn gets its reply immediately, even if it is only a position.
        self.wait = None if first else wait

    def reply(self, reads: Mapping[str, Read], hint: Hint = NO_HINT) -> Part | None:
        merged = merge(self.reads, reads, self.limit)
        if not (merged.events or merged.gaps or self.first):
            return None
        return self._part(merged, hint)

    def position(self, channel: str, read: Read) -> Cursor:
        return read.cursor if isinstance(read, Page) else read.oldest

    def empty(self, at: Positions, hint: Hint) -> Part:
        return _idle(hint)

    def error(self, problem: Problem) -> Part:
        return _error(problem)

    def turn(self, part: Part) -> MultiStream:
        """The next turn, after `part` was written."""
        if not (part.moved or self.first):
            return self
        moved = dict(part.moved)
        channel_reads = tuple(
            ChannelRead(each.channel, moved.get(each.channel, each.since), each.limit)
            for each in self.reads
        )
        return MultiStream(channel_reads, self.limit, first=False, wait=self.keep_alive_seconds)

    def _part(self, merged: Merged, hint: Hint) -> Part:
        retry_ms = self.retry_ms if self.first else None
        body = message(encode(merged, hint), event="gap" if merged.gaps else "", retry_ms=retry_ms)
        return Part(body, tuple(merged.cursors.items()), events=len(merged.events))


def _gap_json(gap: Gap) -> bytes:
    return orjson.dumps(
        {"reason": gap.reason, "oldest": str(gap.oldest), "latest": str(gap.latest)}
    )


def _error(problem: Problem) -> Part:
    """The end of a stream. The reason is an event only where the client can act on it, with another
    token; without a `retry` an `EventSource` keeps its time.
    """
    if problem.status != 401:
        return Part(stream_end(None), last=True)
    return Part(message(orjson.dumps(problem.to_dict()), event="error"), last=True)


def _idle(hint: Hint) -> Part:
    if hint.retry_ms is None:
        return Part(KEEP_ALIVE)
    return Part(stream_end(hint.retry_ms), last=True)
