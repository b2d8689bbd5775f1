"""Inserts of many rows by few statements."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

    from pushhub.store.sqlite.channel import Row

# Rows for one statement. Powers of two only: few different statements, and all stay prepared.
MOST_ROWS = 64

EVENTS = "INSERT INTO events VALUES {}"
KEYS = "INSERT OR REPLACE INTO keys VALUES {}"
CHANNELS = """
    INSERT INTO channels VALUES {} ON CONFLICT (id) DO UPDATE SET
        oldest = excluded.oldest, top = excluded.top, last_epoch = excluded.last_epoch,
        keep_events = excluded.keep_events, keep_seconds = excluded.keep_seconds,
        used = excluded.used
"""


def insert(connection: sqlite3.Connection, statement: str, rows: list[Row]) -> None:
    """Insert rows, as many by one statement as can be."""
    begin = 0
    while begin < len(rows):
        count = min(MOST_ROWS, 1 << ((len(rows) - begin).bit_length() - 1))
        some = rows[begin : begin + count]
        holes = ",".join(["(" + ",".join("?" * len(some[0])) + ")"] * count)
        values = tuple(itertools.chain.from_iterable(some))
        connection.execute(statement.format(holes), values)
        begin += count
