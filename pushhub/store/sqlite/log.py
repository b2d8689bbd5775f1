"""The write side of the SQLite store: appends, deletes and the sweep, each within a transaction of
many.

It runs on the writer thread alone and knows neither queue nor event loop. What a transaction
changes is collected and written by few statements just before the commit. That is faster, and
matters more when the event loop is busy: Python gives up the interpreter around every step of a
statement and may wait 5 ms to get it back.
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from typing import TYPE_CHECKING

import structlog

from pushhub.log.channel import PRIVATE_MARK, namespace
from pushhub.log.cursor import Cursor
from pushhub.log.event import Event
from pushhub.store.base import (
    IDEMPOTENCY_SECONDS,
    Append,
    Appended,
    KeyReused,
    Mismatch,
    NamespaceFull,
    Outcome,
)
from pushhub.store.epoch import fingerprint
from pushhub.store.namespace_bytes import draft_bytes
from pushhub.store.read_range import raised
from pushhub.store.sqlite.channel import Row, StoredChannel, oldest_fresh, oldest_kept, row
from pushhub.store.sqlite.copy_guard import Mark
from pushhub.store.sqlite.insert import CHANNELS, EVENTS, KEYS, insert
from pushhub.store.sqlite.namespace_count import NamespaceCount

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.store.sqlite.file import SqliteFile

# Channels whose state is at hand without a query; about 400 bytes each.
MAX_CACHED_CHANNELS = 10_000

# A slice of the sweep looks at so many channels, and removes so many events and keys, before
# appends get their turn.
SWEEP_CHANNELS = 256
SWEEP_ROWS = 1000

# When the write-ahead log is written back into the file: 16 MiB of pages. SQLite's 1,000 pages hold
# a few dozen commits to as many channels, which then write the same pages again and again.
CHECKPOINT_PAGES = 4000
PAGE_BYTES = 4096

# Free pages that stay in the file for what comes: 4 MiB. Of those beyond, so many go at a time,
# which takes about as long as a large commit.
KEPT_FREE_PAGES = 1024
VACUUM_PAGES = 256
# PRAGMA auto_vacuum
INCREMENTAL = 2

log = structlog.get_logger()


class SqliteLog:
    """The log as its only writer sees it. Every change is between `begin` and `commit`."""

    def __init__(self, file: SqliteFile, clock: Callable[[], float]) -> None:
        self._file = file
        self._clock = clock
        self._connection = file.writer
        self._bytes = NamespaceCount(file.writer)
        self._cache: OrderedDict[str, StoredChannel] = OrderedDict()
        self._next_id = self._first_free_id()
        self._floor = self._stored_floor()
        self._changes = 0
        # Whether the last commit could not be noted in the sidecar: the log says so once.
        self._sidecar_failing = False
        # About how many pages the write-ahead log has since it was last written back.
        self._pages = 0
        # What the transaction has changed and not written yet.
        self._events: list[Row] = []
        self._keys: dict[tuple[int, str], Row] = {}
        self._changed: dict[str, StoredChannel] = {}

    def begin(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        self._changes = self._connection.total_changes

    def commit(self) -> None:
        """Force everything since `begin` to disk.

        Raises:
            sqlite3.Error: it could not be; `rollback` is to follow.
        """
        self._flush()
        if self._connection.total_changes == self._changes:
            # Refusals, duplicates, a sweep that found nothing: no reason to wait for the disk. But
            # a vacuum, which changes no row, has moved pages through the write-ahead log.
            self._connection.execute("COMMIT")
            self._bytes.committed()
            self._checkpoint()
            return
        self._file.owner.check_place()
        mark = Mark(self._file.mark.lineage, self._file.mark.commits + 1)
        self._connection.execute("UPDATE log SET commits = ?", (mark.commits,))
        self._connection.execute("COMMIT")
        self._bytes.committed()
        try:
            self._file.note(mark)
        except OSError as error:
            # The commit stands. A sidecar that is behind only notices fewer restored copies.
            if not self._sidecar_failing:
                log.warning("store.sidecar_failed", error=str(error))
            self._sidecar_failing = True
        else:
            self._sidecar_failing = False
        self._checkpoint()
        while len(self._cache) > MAX_CACHED_CHANNELS:
            self._cache.popitem(last=False)

    def _checkpoint(self) -> None:
        """Write the write-ahead log back, if about enough pages have come to it."""
        if self._pages < CHECKPOINT_PAGES:
            return
        left = 0
        try:
            left = self._file.checkpoint()
        except (OSError, sqlite3.Error) as error:
            # The commits are safe in the write-ahead log; it is tried again after as many pages.
            log.warning("store.checkpoint_failed", path=self._file.path, error=str(error))
        # A reader needs what is left: there is no use in looking at it with each commit.
        self._pages = min(left, CHECKPOINT_PAGES // 2)

    def rollback(self) -> None:
        """Leave the log as it was at `begin`."""
        self._cache.clear()
        self._events.clear()
        self._keys.clear()
        self._changed.clear()
        self._bytes.undone()
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        self._floor = self._stored_floor()

    def append(self, append: Append) -> tuple[Outcome, Event | None]:
        """The outcome, and the event if it is a new one."""
        now, draft = self._now(), append.draft
        channel = self._channel(append.channel)
        if channel and append.key and (earlier := self._earlier(channel, append, now)):
            return earlier, None
        if channel and channel.is_spent(append.channel, now):
            channel.oldest = channel.top + 1
            self._changed[append.channel] = channel
        if append.expect is not None:
            last = channel.last if channel else None
            if not append.expect.holds(last):
                return Mismatch(last), None
        if channel and channel.retention.age != append.retention.age:
            self._age(append.channel, channel, now)
        retention = append.retention
        if (limit := retention.namespace_bytes) is not None:
            self.retained(name := namespace(append.channel))
            size = draft_bytes(draft)
            if self._bytes.is_full(append.channel, channel, size, retention.events, limit):
                return NamespaceFull(name, limit), None
        created = channel is None
        if channel is None:
            channel = self._new_channel(append.channel)
        self._changed[append.channel] = channel
        epoch = self._file.epoch
        channel.top += 1
        channel.last_epoch = epoch
        channel.used = now
        channel.retention = append.retention
        if self._bytes.counts(append.channel):
            self._bytes.add(append.channel, channel.id, channel.top, draft_bytes(draft))
        self._drop(append.channel, channel, channel.top - append.retention.events + 1)
        labels = (draft.content_type, draft.type, draft.id)
        event = Event(
            append.channel, epoch, channel.top, draft.data, *labels, now, draft.traceparent
        )
        self._events.append((channel.id, channel.top, now, epoch, *reversed(labels), draft.data))
        if append.key:
            self._keys[channel.id, append.key] = (
                channel.id,
                append.key,
                now,
                fingerprint(draft),
                epoch,
                channel.top,
                event.id,
            )
        return Appended(event.cursor, event.id, created=created), event

    def delete(self, name: str) -> bool:
        """Drop the channel's events; whether there were any."""
        channel = self._channel(name)
        if channel is None or channel.last is None:
            return False
        self._drop(name, channel, channel.top + 1)
        self._changed[name] = channel
        return True

    def retained(self, name: str) -> int:
        """The bytes that a namespace retains, which are counted from now on."""
        if (size := self._bytes.retained(name)) is None:
            self._flush()
            self._bytes.begin(name)
            size = self._bytes.retained(name)
        return size or 0

    def sweep(self, begin: int) -> int:
        """Remove what is aged in one slice of the channels, from the id `begin` on.

        Returns the next slice's beginning, 0 at the end.
        """
        now = self._now()
        forgotten = self._connection.execute(
            """
            DELETE FROM keys WHERE (channel, key) IN
                (SELECT channel, key FROM keys WHERE time < ? LIMIT ?)
            """,
            (now - IDEMPOTENCY_SECONDS * 1000, SWEEP_ROWS),
        ).rowcount
        budget = SWEEP_ROWS
        end = begin + SWEEP_CHANNELS
        rows = self._connection.execute(
            """
            SELECT id, name, oldest, top, keep_seconds, used FROM channels
            WHERE id >= ? AND id < ? AND keep_seconds IS NOT NULL
                AND (oldest < top OR (oldest = top AND name GLOB ?)) ORDER BY id
            """,
            (begin, end, PRIVATE_MARK + "*"),
        ).fetchall()
        for id, name, oldest, top, age, used in rows:
            fresh = oldest_kept(self._connection, name, now, id, oldest, top, age, used)
            cut = min(fresh, oldest + budget)
            if cut > oldest and (channel := self._channel(name)):
                self._drop(name, channel, cut)
                self._changed[name] = channel
                budget -= cut - oldest
            if cut < fresh:
                return int(id)
        if end < self._next_id:
            return end
        return self._next_id if forgotten == SWEEP_ROWS else 0

    def _channel(self, name: str) -> StoredChannel | None:
        channel = self._cache.get(name)
        if channel is not None:
            self._cache.move_to_end(name)
            return channel
        row = self._connection.execute(
            """
            SELECT id, oldest, top, last_epoch, keep_events, keep_seconds, used FROM channels
            WHERE name = ?
            """,
            (name,),
        ).fetchone()
        if row is None:
            return None
        channel = self._cache[name] = StoredChannel(*row)
        return channel

    def _new_channel(self, name: str) -> StoredChannel:
        channel = self._cache[name] = StoredChannel(
            self._next_id, self._floor + 1, self._floor, "", 1, None, 0
        )
        self._next_id += 1
        return channel

    def remove_idle(self, begin: int, age: float) -> tuple[int, list[str]]:
        """Remove the channels that nothing was published to for `age` seconds, in one slice of the
        ids, from `begin` on. Those of pushhub's own stay while they have an event.

        Returns the next slice's beginning, 0 at the end, and which channels were removed.
        """
        now = self._now()
        end = begin + SWEEP_CHANNELS
        # Not known since a version that did not note it: from now on.
        self._connection.execute(
            "UPDATE channels SET used = ? WHERE used = 0 AND id >= ? AND id < ?", (now, begin, end)
        )
        rows = self._connection.execute(
            """
            SELECT id, name, oldest, top FROM channels
            WHERE id >= ? AND id < ? AND used < ? AND (oldest > top OR name NOT GLOB ?) ORDER BY id
            """,
            (begin, end, now - age * 1000, PRIVATE_MARK + "*"),
        ).fetchall()
        removed: list[str] = []
        budget = SWEEP_ROWS
        for id, name, oldest, top in rows:
            if budget <= 0:
                return int(id), removed
            budget -= top - oldest + 2
            if self._bytes.counts(name):
                self._bytes.remove_all(name, id)
            for table in ("events", "keys"):
                self._connection.execute(f"DELETE FROM {table} WHERE channel = ?", (id,))
            self._connection.execute("DELETE FROM channels WHERE id = ?", (id,))
            self._cache.pop(name, None)
            self._floor = raised(self._floor, top)
            if oldest <= top:
                removed.append(name)
        if rows:
            self._pages += 4 * len(rows)
            self._connection.execute("UPDATE log SET floor = ?", (self._floor,))
        return (end if end < self._next_id else 0), removed

    def vacuum(self) -> bool:
        """Give some free pages back to the file system; whether there are more to give."""
        (free,) = self._connection.execute("PRAGMA freelist_count").fetchone()
        (kind,) = self._connection.execute("PRAGMA auto_vacuum").fetchone()
        if free <= KEPT_FREE_PAGES or kind != INCREMENTAL:
            return False
        # The statement has a row without columns for each page that it frees. Python's sqlite3
        # draws the first of them alone, so that a larger number would free no more.
        for _ in range(min(VACUUM_PAGES, free - KEPT_FREE_PAGES)):
            self._connection.execute("PRAGMA incremental_vacuum(1)")
        self._pages += 2 * VACUUM_PAGES
        return True

    def _stored_floor(self) -> int:
        (floor,) = self._connection.execute("SELECT floor FROM log").fetchone()
        return int(floor)

    def _drop(self, name: str, channel: StoredChannel, oldest: int) -> None:
        """Drop a channel's events before `oldest`, if there are any."""
        if oldest > channel.oldest:
            if self._bytes.counts(name):
                self._bytes.remove(name, channel, oldest)
            channel.oldest = oldest

    def _age(self, name: str, channel: StoredChannel, now: int) -> None:
        """Drop what has aged away by now: a longer age must not bring it back."""
        self._flush()
        oldest, age = channel.oldest, channel.retention.age
        fresh = oldest_fresh(self._connection, channel.id, oldest, channel.top, age, now)
        if fresh > oldest:
            self._drop(name, channel, fresh)
            self._changed[name] = channel

    def _first_free_id(self) -> int:
        (last,) = self._connection.execute("SELECT max(id) FROM channels").fetchone()
        return (last or 0) + 1

    def _earlier(
        self, channel: StoredChannel, append: Append, now: int
    ) -> Appended | KeyReused | None:
        """What the append's idempotency key was used for, if it is remembered."""
        row = (
            self._keys.get((channel.id, append.key))
            or self._connection.execute(
                "SELECT * FROM keys WHERE channel = ? AND key = ?", (channel.id, append.key)
            ).fetchone()
        )
        if row is None:
            return None
        _, _, time, content, epoch, offset, id = row
        if time < now - IDEMPOTENCY_SECONDS * 1000:
            return None
        if content != fingerprint(append.draft):
            return KeyReused()
        present = "" if epoch == self._file.epoch else self._file.epoch
        return Appended(Cursor(epoch, offset), id, duplicate=True, present=present)

    def _flush(self) -> None:
        channels = self._changed
        # An event is written with its index, a channel with those of its events that go.
        size = sum(len(row[-1]) for row in self._events)
        self._pages += size // PAGE_BYTES + 2 * len(self._events) + 2 * len(channels) + 1
        oldest = {channel.id: channel.oldest for channel in channels.values()}
        insert(self._connection, EVENTS, [row for row in self._events if row[1] >= oldest[row[0]]])
        insert(self._connection, KEYS, list(self._keys.values()))
        insert(
            self._connection, CHANNELS, [row(name, channel) for name, channel in channels.items()]
        )
        for channel in channels.values():
            if channel.stored < channel.oldest:
                self._connection.execute(
                    "DELETE FROM events WHERE channel = ? AND offset < ?",
                    (channel.id, channel.oldest),
                )
                channel.stored = channel.oldest
        self._events.clear()
        self._keys.clear()
        self._changed.clear()
        self._bytes.flushed()

    def _now(self) -> int:
        return int(self._clock() * 1000)
