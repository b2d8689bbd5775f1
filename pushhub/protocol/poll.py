"""A poll: one parsed read request. What it reads, how long it may wait, how it is answered.

A poll knows neither store nor clock nor connection. The hub reads for it and asks it: is this an
answer, or shall we wait? Every face that waits is a class of this shape, so all of them are
delivered to in one way.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pushhub.protocol.cursor import Cursor, CursorError, Since, Start, parse_cursor
from pushhub.protocol.problem import Problem, retry_after

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from pushhub.protocol.answer import Reply
    from pushhub.protocol.page import Read
    from pushhub.protocol.request import Request

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000


# The position of a wait that began while the log could not be read, where the condition does not
# name the value that the client has. No epoch is empty.
UNKNOWN = Cursor("", 0)


class Want(NamedTuple):
    """A channel that a poll reads, from where, and how many events at most. One is made for each
    request, and a NamedTuple in a third of the time of a frozen dataclass.
    """

    channel: str
    since: Since
    limit: int
    tags: frozenset[str] | None = None
    """The entity tags of the value that the client has, as `parse_tags` reads them; None where it
    asks for events. A tail that does not reach them is too old to answer it."""

    @property
    def seen(self) -> tuple[Cursor, ...]:
        """The tags that are cursors, as all are that a value was given."""
        cursors = []
        for tag in self.tags or ():
            with suppress(CursorError):
                cursors.append(parse_cursor(tag))
        return tuple(cursors)

    @property
    def stands(self) -> Cursor | None:
        """Where a poll stands while the log cannot be read; None if that needs the log."""
        if isinstance(self.since, Cursor):
            return self.since
        if self.tags is None:
            return None
        seen = self.seen
        return seen[0] if len(seen) == len(self.tags) == 1 else UNKNOWN


@dataclass(frozen=True, slots=True)
class Hint:
    """What the hub adds to an answer at the end of a wait."""

    retry_ms: int | None = None
    """When to ask again, if not at once."""
    sure: bool = True
    """Whether the log is known to have nothing more: not while the store cannot be heard."""
    waited: bool = True
    """Whether a wait that was asked for was granted: not while the hub is full."""


AT_ONCE = Hint()


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
    """What the hub asks of a poll."""

    @property
    def wants(self) -> tuple[Want, ...]:
        """What it reads; never empty."""

    @property
    def wait(self) -> int | None:
        """The granted seconds, 1 to 55; None is answered at once."""

    @property
    def kind(self) -> str:
        """What it is to people who watch: `long-poll`, `value`, `stream` and so on."""

    @property
    def variant(self) -> Hashable:
        """Polls of equal variant at the same position share answers; None shares with nobody."""

    def answer(self, reads: Mapping[str, Read], hint: Hint = AT_ONCE) -> Reply | None:
        """The answer that these reads give, of all channels or those that moved; None waits on."""

    def position(self, channel: str, read: Read) -> Cursor:
        """Where the poll stands in `channel` after a read that gave it nothing."""

    def nothing(self, at: Positions, hint: Hint) -> Reply:
        """The answer when the wait has ended, and each channel is still `at` its position."""

    def refuse(self, problem: Problem) -> Reply | None:
        """The answer when a channel that it waits on is deleted, or cannot be read. None waits on,
        and only a deleted channel allows it.
        """


def parse_limit(request: Request) -> int:
    """The `limit` parameter: how many events an answer may list, 1 to 1,000, 100 without it.

    Raises:
        Problem: another number, or none.
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
    """What a hold is told when its channel is deleted."""
    return Problem(
        "deleted", "Somebody deleted the channel while you waited on it.", channel=channel
    )


# When a read fails, the store is usually back soon: a restart of Redis takes about a second.
RETRY_AFTER_SECONDS = 1


def unreadable() -> Problem:
    """The refusal while the log cannot be read."""
    return Problem(
        "store-unavailable",
        "The log cannot be read at the moment. Your cursor stays good; ask again with it.",
        headers=(retry_after(RETRY_AFTER_SECONDS),),
    )


def resume(want: Want, at: Cursor) -> Want:
    """The want of a poll that has come to stand `at` a cursor. A value is always read anew."""
    return want if want.since is Start.LAST else Want(want.channel, at, want.limit)
