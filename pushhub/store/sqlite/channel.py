"""A channel as the SQLite store keeps it, and which of its events are still fresh."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pushhub.log.cursor import Cursor
from pushhub.store.base import Retention, is_spent

if TYPE_CHECKING:
    import sqlite3

Row = tuple[Any, ...]


class StoredChannel:
    """A row of `channels`; `stored` is the oldest event in the file, before the flush trims it."""

    __slots__ = ("id", "last_epoch", "oldest", "retention", "stored", "top", "used")

    def __init__(
        self,
        id: int,
        oldest: int,
        top: int,
        last_epoch: str,
        events: int,
        age: float | None,
        used: int,
    ) -> None:
        self.used = used
        self.id = id
        self.oldest = self.stored = oldest
        self.top = top
        self.last_epoch = last_epoch
        self.retention = Retention(events, age)

    @property
    def last(self) -> Cursor | None:
        return Cursor(self.last_epoch, self.top) if self.oldest <= self.top else None

    def is_spent(self, name: str, now: int) -> bool:
        """Whether age has emptied it; no, if it was written by a version without `used`."""
        return is_spent(name, self.retention, self.used or now, now)


def oldest_kept(
    connection: sqlite3.Connection,
    name: str,
    now: int,
    id: int,
    oldest: int,
    top: int,
    age: float | None,
    used: int,
) -> int:
    """`oldest_fresh`; for one of pushhub's own channels that age emptied, after its last event."""
    if is_spent(name, Retention(age=age), used or now, now):
        return top + 1
    return oldest_fresh(connection, id, oldest, top, age, now)


def oldest_fresh(
    connection: sqlite3.Connection, id: int, oldest: int, top: int, age: float | None, now: int
) -> int:
    """The offset of a channel's oldest event not older than `age` seconds at `now`, or of its last.

    `oldest` if nothing is kept. Reads hide what is before it, and the sweep removes just that.
    """
    if age is None or oldest >= top:
        return oldest
    row = connection.execute(
        """
        SELECT offset FROM events WHERE channel = ? AND offset >= ? AND time >= ?
        ORDER BY offset LIMIT 1
        """,
        (id, oldest, now - age * 1000),
    ).fetchone()
    return row[0] if row else top


def row(name: str, channel: StoredChannel) -> Row:
    return (
        channel.id,
        name,
        channel.oldest,
        channel.top,
        channel.last_epoch,
        channel.retention.events,
        channel.retention.age,
        channel.used,
    )
