"""The read side of the SQLite store, on the reader thread. A read sees one state of the log."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pushhub.log.channel import PRIVATE_MARK
from pushhub.log.event import Event
from pushhub.log.read import Gap, Page, Read
from pushhub.store.base import ChannelInfo
from pushhub.store.read_range import ReadRange, absent
from pushhub.store.sqlite.channel import oldest_fresh, oldest_kept

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pushhub.log.cursor import Since
    from pushhub.store.sqlite.file import SqliteFile


class SqliteReader:
    """Reads of the log, as retention leaves it at the moment of the read."""

    def __init__(self, file: SqliteFile, clock: Callable[[], float]) -> None:
        self._epoch = file.epoch
        self._connection = file.reader
        self._reading = file.reading
        self._clock = clock

    def read(self, channel: str, since: Since, limit: int) -> Read:
        with self._snapshot():
            id, span = self._find(channel)
            after = span.locate(since)
            if isinstance(after, Gap):
                return after
            if after == span.top:
                return span.page(after, (), limit)
            # Rows are drawn one by one: one answer may hold four events of 256 KiB, not hundreds.
            rows = self._connection.execute(
                """
                SELECT epoch, offset, data, content_type, type, id, time FROM events
                WHERE channel = ? AND offset > ? ORDER BY offset LIMIT ?
                """,
                (id, after, limit),
            )
            return span.page(after, (Event(channel, *row) for row in rows), limit)

    def tail(self, channel: str, limit: int) -> Page:
        with self._snapshot():
            id, span = self._find(channel)
            rows = self._connection.execute(
                """
                SELECT epoch, offset, data, content_type, type, id, time FROM events
                WHERE channel = ? AND offset >= ? ORDER BY offset DESC LIMIT ?
                """,
                (id, span.oldest, limit),
            )
            return span.tail((Event(channel, *row) for row in rows), limit)

    def channels(self, prefix: str, after: str, limit: int) -> list[ChannelInfo]:
        found: list[ChannelInfo] = []
        with self._snapshot():
            # SQLite compares text by its UTF-8 bytes.
            rows = self._connection.execute(
                """
                SELECT name, id, oldest, top, keep_seconds FROM channels
                WHERE name > ? AND name >= ? AND oldest <= top ORDER BY name
                """,
                (after, prefix),
            )
            for name, *row in rows:
                if len(found) >= limit or not name.startswith(prefix):
                    break
                if not name.startswith(PRIVATE_MARK):
                    span = self._span(*row)
                    found.append(ChannelInfo(name, span.top - span.oldest + 1, span.latest))
        return found

    def count(self) -> int:
        """How many channels take room in the file."""
        with self._snapshot():
            (count,) = self._connection.execute("SELECT count(*) FROM channels").fetchone()
        return int(count)

    def _find(self, channel: str) -> tuple[int, ReadRange]:
        row = self._connection.execute(
            "SELECT id, oldest, top, keep_seconds, used FROM channels WHERE name = ?", (channel,)
        ).fetchone()
        if row:
            now = int(self._clock() * 1000)
            oldest = oldest_kept(self._connection, channel, now, *row)
            return row[0], ReadRange(self._epoch, oldest, row[2])
        (floor,) = self._connection.execute("SELECT floor FROM log").fetchone()
        return 0, absent(self._epoch, floor)

    def _span(self, id: int, oldest: int, top: int, age: float | None) -> ReadRange:
        now = int(self._clock() * 1000)
        return ReadRange(
            self._epoch, oldest_fresh(self._connection, id, oldest, top, age, now), top
        )

    @contextmanager
    def _snapshot(self) -> Iterator[Any]:
        with self._reading:
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                # Resets a half-drawn SELECT too, which a COMMIT would refuse.
                self._connection.execute("ROLLBACK")
