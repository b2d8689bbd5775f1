"""The retained bytes of the namespaces with a limit, as the writer of the SQLite store counts them.

They are counted from the rows at the first need, so no count can differ from the file after a
restart, and then kept up to date. A namespace without a limit costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.log.channel import namespace
from pushhub.store.namespace_bytes import EVENT_OVERHEAD, after_prefix, exceeds, prefix

if TYPE_CHECKING:
    import sqlite3

    from pushhub.store.sqlite.channel import StoredChannel

_SIZE = (
    "coalesce(sum(length(data) + length(content_type) + length(CAST(type AS BLOB)) + "
    f"length(CAST(events.id AS BLOB)) + {EVENT_OVERHEAD}), 0)"
)


class NamespaceCount:
    """The counts of a store's namespaces. Changes count for later appends of the transaction at
    once, and are kept with its commit.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._counts: dict[str, int] = {}
        self._before: dict[str, int | None] = {}
        """The counts at the beginning of the transaction, of what it changed."""
        self._pending: dict[tuple[int, int], int] = {}
        """The sizes of events that are not in the file yet, by channel and offset."""

    def counts(self, channel: str) -> bool:
        """Whether the namespace of a channel is counted."""
        return bool(self._counts) and namespace(channel) in self._counts

    def retained(self, name: str) -> int | None:
        """The bytes of a namespace; None if they were never needed."""
        return self._counts.get(name)

    def begin(self, name: str) -> None:
        """Count a namespace from now on. The transaction's changes are in the file."""
        (size,) = self._connection.execute(
            f"""
            SELECT {_SIZE} FROM channels CROSS JOIN events ON events.channel = channels.id
            WHERE name >= ? AND name < ?
            """,
            (prefix(name), after_prefix(name)),
        ).fetchone()
        self._set(name, int(size))

    def is_full(
        self, channel: str, stored: StoredChannel | None, added: int, keep: int, limit: int
    ) -> bool:
        """Whether the namespace has no room for an event, after which `keep` are kept."""
        removed = 0
        if stored is not None:
            removed = self._size(stored.id, stored.oldest, stored.top - keep + 2)
        return exceeds(limit, self._counts[namespace(channel)], added, removed)

    def add(self, channel: str, id: int, offset: int, size: int) -> None:
        """Count an event that the transaction appends."""
        self._pending[id, offset] = size
        self._change(namespace(channel), size)

    def remove(self, channel: str, stored: StoredChannel, oldest: int) -> None:
        """Count the events before `oldest` no more."""
        if oldest > stored.oldest:
            self._change(namespace(channel), -self._size(stored.id, stored.oldest, oldest))

    def remove_all(self, channel: str, id: int) -> None:
        """Count no event of a channel any more; all are in the file."""
        self._change(namespace(channel), -self._size(id, 0, 1 << 62))

    def flushed(self) -> None:
        """The events of the transaction are in the file."""
        self._pending.clear()

    def committed(self) -> None:
        """The transaction stands."""
        self._before.clear()

    def undone(self) -> None:
        """The transaction does not stand."""
        self._pending.clear()
        for name, before in self._before.items():
            if before is None:
                del self._counts[name]
            else:
                self._counts[name] = before
        self._before.clear()

    def _change(self, name: str, size: int) -> None:
        self._set(name, self._counts[name] + size)

    def _set(self, name: str, size: int) -> None:
        self._before.setdefault(name, self._counts.get(name))
        self._counts[name] = size

    def _size(self, id: int, begin: int, end: int) -> int:
        """The bytes of a channel's events from `begin` to before `end`."""
        size = 0
        # Those that are not in the file are the newest.
        while end > begin and (pending := self._pending.get((id, end - 1))) is not None:
            size += pending
            end -= 1
        if end > begin:
            (stored,) = self._connection.execute(
                f"SELECT {_SIZE} FROM events WHERE channel = ? AND offset >= ? AND offset < ?",
                (id, begin, end),
            ).fetchone()
            size += int(stored)
        return size

    def __repr__(self) -> str:
        return f"<NamespaceCount {self._counts}>"
