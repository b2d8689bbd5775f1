"""Many channels in one request, a cursor for each: for a page with ten widgets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from pushhub.http.caching import NO_STORE, VARY
from pushhub.http.prefer import MAX_WAIT, bounded_wait
from pushhub.http.problem import Problem
from pushhub.http.response import Response
from pushhub.log.channel import ChannelNameError, public_name
from pushhub.log.cursor import Cursor, CursorError, parse_since
from pushhub.log.event import join_json
from pushhub.log.json_body import JsonError, load
from pushhub.log.read import MAX_RESPONSE_BYTES, Gap, Page, Read
from pushhub.polls.base import (
    DEFAULT_LIMIT,
    MAX_LIMIT,
    NO_HINT,
    ChannelRead,
    Hint,
    Positions,
    bad_limit,
    wait_headers,
)
from pushhub.polls.feed import JSON

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pushhub.log.event import Event

MAX_CHANNELS = 1000

_FIELDS = frozenset({"channels", "wait", "limit"})


@dataclass(frozen=True, slots=True)
class MultiRequest:
    """The body of `POST /v1/poll`, read."""

    reads: tuple[ChannelRead, ...]
    wait: int | None
    limit: int


def parse_many(body: bytes, cap: int = MAX_WAIT, max_channels: int = MAX_CHANNELS) -> MultiRequest:
    """Read `{"channels": {"a": "<cursor>|now|earliest"}, "wait": 25, "limit": 100}`.

    Raises:
        Problem: another shape, an unknown field, a bad name or cursor, or too many channels.
    """
    try:
        document = load(body)
    except JsonError as error:
        raise Problem("bad-body", f"The body is not JSON: {error}.") from None
    if not isinstance(document, dict) or not isinstance(document.get("channels"), dict):
        raise Problem(
            "bad-body",
            'The body is an object with \'channels\': {"news": "now", "orders": "<cursor>"}.',
        )
    if unknown := document.keys() - _FIELDS:
        raise Problem(
            "bad-body", f"A poll has 'channels', 'wait' and 'limit', not {min(unknown)!r}."
        )
    channels = document["channels"]
    if not channels:
        raise Problem("bad-body", "'channels' names at least one channel.")
    if len(channels) > max_channels:
        raise Problem(
            "too-many-channels",
            f"A poll has at most {max_channels} channels; use two polls.",
            limit=max_channels,
        )
    limit = document.get("limit", DEFAULT_LIMIT)
    if type(limit) is not int or not 1 <= limit <= MAX_LIMIT:
        raise bad_limit()
    wait = document.get("wait", 0)
    if isinstance(wait, bool) or not isinstance(wait, int | float) or wait < 0:
        raise Problem("bad-body", f"'wait' is a number of seconds, 0 to {cap}.", limit=cap)
    channel_reads = tuple(_channel_read(name, since, limit) for name, since in channels.items())
    return MultiRequest(channel_reads, bounded_wait(wait, cap), limit)


def _channel_read(name: str, since: object, limit: int) -> ChannelRead:
    try:
        public_name(name)
    except ChannelNameError as error:
        raise Problem("bad-channel", str(error), channel=name) from None
    if not isinstance(since, str):
        raise Problem(
            "bad-cursor",
            "A channel's position must be a cursor, 'now' or 'earliest'.",
            channel=name,
        )
    try:
        return ChannelRead(name, parse_since(since), limit)
    except CursorError as error:
        raise Problem("bad-cursor", str(error), channel=name) from None


@dataclass(frozen=True, slots=True)
class Merged:
    """Reads of many channels, cut to one response, and the cursors that it moves."""

    events: list[Event]
    cursors: dict[str, Cursor]
    gaps: dict[str, Gap]


def merge(channel_reads: tuple[ChannelRead, ...], reads: Mapping[str, Read], limit: int) -> Merged:
    """Share one response among the channels that have events, so a busy one starves no other.

    A channel whose events are cut short moves only as far as they go. A channel with a gap moves to
    the oldest event that is kept, so that its client does not poll in a loop. A channel that began
    at `now` or `earliest` gets the cursor of that position.
    """
    merged = Merged([], {}, {})
    busy: list[tuple[ChannelRead, Page]] = []
    for channel_read in channel_reads:
        read = reads.get(channel_read.channel)
        if isinstance(read, Gap):
            merged.gaps[channel_read.channel] = read
            merged.cursors[channel_read.channel] = read.oldest
        elif read is not None and read.events:
            busy.append((channel_read, read))
        elif read is not None and not isinstance(channel_read.since, Cursor):
            merged.cursors[channel_read.channel] = read.cursor
    # The channel with the oldest event goes first. Where the limit or the bytes suffice for some
    # channels only, the others get older, and so have their turn.
    busy.sort(key=lambda one: one[1].events[0].time)
    share = max(1, -(-limit // max(1, len(busy))))
    size = 0
    for channel_read, page in busy:
        at = Cursor(page.cursor.epoch, page.events[0].offset - 1)
        for event in page.events[: min(share, limit - len(merged.events))]:
            size += event.size
            if size > MAX_RESPONSE_BYTES and merged.events:
                size -= event.size
                break
            merged.events.append(event)
            at = Cursor(page.cursor.epoch, event.offset)
        # A `now` without events in the response needs its cursor too: the next poll would begin
        # after them.
        if at.offset >= page.events[0].offset or not isinstance(channel_read.since, Cursor):
            merged.cursors[channel_read.channel] = at
    return merged


def encode(merged: Merged, hint: Hint) -> bytes:
    """`{"events": […], "cursors": {…}, "gaps": {…}}`; clients merge the cursors into their own."""
    gaps = {
        channel: {"reason": gap.reason, "oldest": str(gap.oldest), "latest": str(gap.latest)}
        for channel, gap in merged.gaps.items()
    }
    tail = b'],"cursors":%b%b%b}' % (
        orjson.dumps({channel: str(cursor) for channel, cursor in merged.cursors.items()}),
        b',"gaps":' + orjson.dumps(gaps) if gaps else b"",
        b',"retry_ms":%d' % hint.retry_ms if hint.retry_ms is not None else b"",
    )
    # Each channel that has events has moved, in the present epoch.
    cursors = merged.cursors
    texts = [event.json_with_channel_in(cursors[event.channel].epoch) for event in merged.events]
    return join_json(b'{"events":[', texts, tail)


class MultiPoll:
    """A poll of many channels. `limit` bounds the whole response."""

    __slots__ = ("limit", "reads", "wait")

    # Pages differ in their channels, so replies are not shared.
    kind = "many channels"
    variant = None

    def __init__(
        self, channel_reads: tuple[ChannelRead, ...], limit: int, wait: int | None = None
    ) -> None:
        self.reads = channel_reads
        self.limit = limit
        self.wait = wait

    def reply(self, reads: Mapping[str, Read], hint: Hint = NO_HINT) -> Response | None:
        merged = merge(self.reads, reads, self.limit)
        if self.wait and not merged.events and not merged.gaps:
            return None
        return self._response(merged, hint)

    def position(self, channel: str, read: Read) -> Cursor:
        return read.cursor if isinstance(read, Page) else read.oldest

    def empty(self, at: Positions, hint: Hint) -> Response:
        begun = {
            channel_read.channel: at[channel_read.channel]
            for channel_read in self.reads
            if not isinstance(channel_read.since, Cursor)
        }
        return self._response(Merged([], begun, {}), hint)

    def error(self, problem: Problem) -> Response:
        return problem.response()

    def _response(self, merged: Merged, hint: Hint) -> Response:
        headers = (JSON, NO_STORE, VARY, *wait_headers(self.wait, hint))
        return Response(200, headers, encode(merged, hint), len(merged.events))
