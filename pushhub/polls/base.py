"""A poll: one parsed read request, with its channels, its wait and its replies.

A poll knows neither store nor clock nor connection. The hub reads for it, and the poll makes a
reply of the reads or waits on. Every endpoint that waits has a class of this shape, so the hub
delivers to all of them in one way.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pushhub.http.challenge import CHALLENGE, INVALID_TOKEN
from pushhub.http.problem import Problem, retry_after
from pushhub.log.cursor import Cursor, CursorError, Since, Start, parse_cursor, parse_since
from pushhub.log.read import Gap, Read

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from pushhub.http.request import Request
    from pushhub.http.response import Headers, Reply
    from pushhub.log.grant import Grant

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000


# The position of a wait that began while the log could not be read, where the condition does not
# name the value that the client has. No epoch is empty.
UNKNOWN = Cursor("", 0)


class ChannelRead(NamedTuple):
    """A channel that a poll reads, its start, and the limit of events. Each request makes one, and
    a NamedTuple takes a third of the time of a frozen dataclass.
    """

    channel: str
    since: Since
    limit: int
    tags: frozenset[str] | None = None
    """The entity tags of the client's value, as `parse_tags` reads them; None for a poll of events.
    A tail that does not reach them is too old for the request."""

    @property
    def seen(self) -> tuple[Cursor, ...]:
        """The tags that are cursors, as every tag of a value is."""
        cursors = []
        for tag in self.tags or ():
            with suppress(CursorError):
                cursors.append(parse_cursor(tag))
        return tuple(cursors)

    @property
    def known_position(self) -> Cursor | None:
        """Where a poll stands while the log cannot be read; None if that needs the log."""
        if isinstance(self.since, Cursor):
            return self.since
        if self.tags is None:
            return None
        seen = self.seen
        return seen[0] if len(seen) == len(self.tags) == 1 else UNKNOWN


@dataclass(frozen=True, slots=True)
class Hint:
    """What the hub adds to a reply at the end of a wait."""

    retry_ms: int | None = None
    """When to poll again, if not immediately."""
    sure: bool = True
    """Whether the log surely has nothing more: not while the store's feed is disconnected."""
    waited: bool = True
    """Whether the hub granted the requested wait: not while it is full."""


NO_HINT = Hint()


class Positions(Protocol):
    """Where a poll stands in each of its channels. A dict is one."""

    def __getitem__(self, channel: str, /) -> Cursor: ...


class At:
    """Where a poll of one channel stands, in a quarter of a dict's memory."""

    __slots__ = ("cursor",)

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor

    def __getitem__(self, channel: str, /) -> Cursor:
        return self.cursor

    def __repr__(self) -> str:
        return f"At({self.cursor})"


class Poll(Protocol):
    """The interface of a poll for the hub."""

    @property
    def reads(self) -> tuple[ChannelRead, ...]:
        """The channels to read; never empty."""

    @property
    def wait(self) -> int | None:
        """The granted seconds, 1 to 55; None to reply immediately."""

    @property
    def kind(self) -> str:
        """The kind that the console shows: `long-poll`, `value`, `stream` and so on."""

    @property
    def variant(self) -> Hashable:
        """Polls of equal variant at the same position share replies; None shares with no other."""

    def reply(self, reads: Mapping[str, Read], hint: Hint = NO_HINT) -> Reply | None:
        """The reply for these reads, of all channels or those that moved; None to wait on."""

    def position(self, channel: str, read: Read) -> Cursor:
        """The position in `channel` after a read that gave the poll nothing."""

    def empty(self, at: Positions, hint: Hint) -> Reply:
        """The reply at the end of the wait, with each channel still `at` its position."""

    def error(self, problem: Problem) -> Reply | None:
        """The reply when a channel was deleted, or cannot be read. None waits on; only a deleted
        channel allows that.
        """


class ChannelPoll:
    """The part that the polls of one channel share."""

    __slots__ = ("reads",)

    reads: tuple[ChannelRead, ...]

    def position(self, channel: str, read: Read) -> Cursor:
        """The end of the read; after a gap the latest cursor."""
        return read.latest if isinstance(read, Gap) else read.cursor


def start_of(text: str) -> Since:
    """Where a feed begins: `parse_since`, for a client.

    Raises:
        Problem: `bad-cursor`.
    """
    try:
        return parse_since(text)
    except CursorError as error:
        raise Problem("bad-cursor", str(error)) from None


def parse_limit(request: Request) -> int:
    """The `limit` parameter: the most events of a response, 1 to 1,000, by default 100.

    Raises:
        Problem: the text is no number, or out of bounds.
    """
    text = request.query.get("limit")
    if text is None:
        return DEFAULT_LIMIT
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MAX_LIMIT):
        raise bad_limit()
    return int(text)


def bad_limit() -> Problem:
    """The refusal of a limit out of bounds."""
    return Problem(
        "bad-request", f"'limit' is a whole number from 1 to {MAX_LIMIT}.", limit=MAX_LIMIT
    )


def deleted(channel: str) -> Problem:
    """The problem of a hold whose channel was deleted."""
    return Problem("deleted", "The channel was deleted during the wait.", channel=channel)


def revoked() -> Problem:
    """The problem of a request, hold or stream with a revoked credential."""
    detail = "This key or token was revoked. A new one is needed."
    return Problem("revoked", detail, headers=INVALID_TOKEN)


def grant_ended(grant: Grant) -> Problem:
    """The problem of a hold or stream whose token expired, whose credential was revoked, or whose
    key was removed by a reload."""
    if grant.is_revoked:
        return revoked()
    if grant.basis is not None and grant.basis.ended:
        detail = (
            "The settings of this key have changed. The cursor stays valid; authenticate again."
        )
        return Problem("unauthorized", detail, headers=INVALID_TOKEN)
    detail = "The token expired during the wait. The cursor stays valid; go on with a new token."
    return Problem("unauthorized", detail, headers=INVALID_TOKEN)


def no_longer_public() -> Problem:
    """The problem of a read without a credential whose channel a reload has closed."""
    detail = "The channel is no longer public. The cursor stays valid; go on with a token."
    return Problem("unauthorized", detail, headers=CHALLENGE)


# When a read fails, the store is usually back soon: a restart of Redis takes about a second.
RETRY_AFTER_SECONDS = 1


def unreadable() -> Problem:
    """The refusal while the log cannot be read."""
    return Problem(
        "store-unavailable",
        "The log cannot be read at the moment. The cursor stays valid; try again with it.",
        headers=(retry_after(RETRY_AFTER_SECONDS),),
    )


def resume(channel_read: ChannelRead, at: Cursor) -> ChannelRead:
    """The read of a poll that stands `at` a cursor now. A value is always read from the start."""
    if channel_read.since is Start.LAST:
        return channel_read
    return ChannelRead(channel_read.channel, at, channel_read.limit)


def wait_headers(wait: int | None, hint: Hint = NO_HINT) -> Headers:
    """The header for an honoured wait (RFC 7240 §3), with the granted seconds before jitter.

    A client that does not get this header keeps its old interval. When the hub is full, that is
    right, and the client gets the interval. A new header here that pages may read also belongs to
    `EXPOSED` in `api/cors.py`.
    """
    if not hint.waited:
        return poll_interval(hint)
    return ((b"preference-applied", b"wait=%d" % wait),) if wait else ()


def poll_interval(hint: Hint) -> Headers:
    """The hint for the next request in whole seconds, for clients that do not read `retry_ms`."""
    if hint.retry_ms is None:
        return ()
    return ((b"x-poll-interval", b"%d" % max(1, round(hint.retry_ms / 1000))),)
