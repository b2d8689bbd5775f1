"""The value of a channel: its last event's bytes and content type. It never gaps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.http.caching import NO_STORE, VARY
from pushhub.http.etag import ANY
from pushhub.http.problem import Problem
from pushhub.http.published_body import published_headers
from pushhub.http.response import Headers, Response
from pushhub.log.cursor import Cursor, Start
from pushhub.log.event import Event, rfc3339
from pushhub.log.read import Gap, Read
from pushhub.polls.base import (
    NO_HINT,
    UNKNOWN,
    ChannelPoll,
    ChannelRead,
    Hint,
    Positions,
    poll_interval,
    unreadable,
    wait_headers,
)

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

# A client may store a plain response, and revalidate it with its ETag.
REVALIDATE = (b"cache-control", b"private, no-cache")


class ValuePoll(ChannelPoll):
    """A poll of one channel's last event; `tags` are `If-None-Match`, read by `parse_tags`."""

    __slots__ = ("channel", "tags", "variant", "wait")

    kind = "value"

    def __init__(self, channel: str, tags: frozenset[str], wait: int | None = None) -> None:
        self.channel = channel
        self.tags = tags
        self.reads = (ChannelRead(channel, Start.LAST, 1, tags if tags or wait else None),)
        self.wait = wait
        self.variant: Hashable = (wait, tags)

    def reply(self, reads: Mapping[str, Read], hint: Hint = NO_HINT) -> Response | None:
        read = reads[self.channel]
        events = () if isinstance(read, Gap) else read.events
        if not events:
            # A client whose value is gone gets the problem immediately, without a sign of a wait:
            # with one it would poll in a loop.
            if self.tags:
                return self._missing(Hint(hint.retry_ms, waited=False))
            return None if self.wait else self._missing(hint)
        event = events[-1]
        if self._has(event):
            return None if self.wait else self._unchanged(event.cursor, hint)
        return Response(
            200,
            (
                (b"content-type", event.content_type.encode("latin-1")),
                *published_headers(event.content_type),
                (b"etag", event.cursor.etag.encode()),
                (b"event-id", _header(event.id)),
                (b"event-time", rfc3339(event.time).encode()),
                *(((b"event-type", _header(event.type)),) if event.type else ()),
                *self._cache(hint),
            ),
            event.data,
            1,
        )

    def position(self, channel: str, read: Read) -> Cursor:
        if isinstance(read, Gap):
            return read.latest
        return read.events[-1].cursor if read.events else Cursor(read.cursor.epoch, 0)

    def empty(self, at: Positions, hint: Hint) -> Response:
        cursor = at[self.channel]
        if cursor == UNKNOWN:
            # Neither 304 nor 404 would be true.
            return self.error(unreadable())
        return self._unchanged(cursor, hint) if cursor.offset else self._missing(hint)

    def error(self, problem: Problem) -> Response:
        return problem.response()

    def _has(self, event: Event) -> bool:
        return bool(self.tags) and (str(event.cursor) in self.tags or ANY in self.tags)

    def _unchanged(self, cursor: Cursor, hint: Hint) -> Response:
        return Response(304, ((b"etag", cursor.etag.encode()), *self._cache(hint)))

    def _missing(self, hint: Hint) -> Response:
        problem = Problem(
            "no-value",
            "The channel has no event yet. Send 'Prefer: wait=25' to receive the first value when "
            "it comes.",
            channel=self.channel,
            headers=(VARY, *self._waited(hint)),
        )
        return problem.response()

    def _waited(self, hint: Hint) -> Headers:
        if hint.waited and hint.retry_ms is not None:
            return (*wait_headers(self.wait), *poll_interval(hint))
        return wait_headers(self.wait, hint)

    def _cache(self, hint: Hint) -> Headers:
        return (NO_STORE if self.wait else REVALIDATE, VARY, *self._waited(hint))


def _header(text: str) -> bytes:
    """A label as a header value: UTF-8, which is obs-text (RFC 9110 §5.5) and passed on by all."""
    return text.encode()
