"""The room that removed and deleted channels took in a file, and files of an earlier version. What
holds for idle channels in every store is in `test_contract.py`.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from importlib import resources
from typing import TYPE_CHECKING

import pytest

from pushhub.log.cursor import Cursor, Start
from pushhub.log.read import Page
from pushhub.store.base import Retention, StoreError
from pushhub.store.sqlite import file as sqlite_file
from pushhub.store.sqlite import log as sqlite_log
from pushhub.store.sqlite.backup import compact
from pushhub.store.sqlite.store import SqliteStore
from tests.store.labs import Clock, item, opened, publish

if TYPE_CHECKING:
    from pathlib import Path

    from pushhub.store.base import Store

AGE = 100.0
KEEP = Retention(age=None)


def made(path: Path, clock: Clock, age: float | None = None) -> Store:
    return SqliteStore(str(path), clock, sweep_seconds=0.01, idle_age=age)


async def counted(store: Store, count: int) -> None:
    """Wait until so many channels take room."""
    async with asyncio.timeout(10):
        while await store.count() != count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


# -- room ------------------------------------------------------------------------


@pytest.mark.slow
async def test_what_is_deleted_makes_the_file_smaller(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_log, "KEPT_FREE_PAGES", 16)
    path = tmp_path / "log.db"
    async with opened(made(path, clock)) as store:
        await publish(store, *[item("x" * 50_000, f"c{number}", KEEP) for number in range(60)])
    big = path.stat().st_size
    assert big > 60 * 50_000
    async with opened(made(path, clock)) as store:
        for number in range(60):
            await store.delete(f"c{number}")
        async with asyncio.timeout(20):
            while free_pages(path) > 16:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    assert path.stat().st_size < big / 10


@pytest.mark.slow
async def test_room_is_given_back_in_large_steps_and_the_write_ahead_log_stays_bounded(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages of what stays lie behind those that are free, so all of them are moved."""
    for name, number in (("KEPT_FREE_PAGES", 16), ("VACUUM_PAGES", 64), ("CHECKPOINT_PAGES", 200)):
        monkeypatch.setattr(sqlite_log, name, number)
    monkeypatch.setattr(sqlite_file, "WAL_BYTES", 2**20)
    steps: list[bool] = []
    vacuum = sqlite_log.SqliteLog.vacuum

    def noted(log: sqlite_log.SqliteLog) -> bool:
        steps.append(vacuum(log))
        return steps[-1]

    monkeypatch.setattr(sqlite_log.SqliteLog, "vacuum", noted)
    path = tmp_path / "log.db"
    async with opened(SqliteStore(str(path), clock, sweep_seconds=3600)) as store:
        await publish(store, *[item("x" * 12_000, "ab"[n % 2], KEEP) for n in range(1000)])
        await store.delete("a")
    free, most = free_pages(path), 0
    assert free > 1000
    steps.clear()
    async with opened(made(path, clock)) as store:
        async with asyncio.timeout(20):
            while free_pages(path) > 16:
                most = max(most, path.with_name("log.db-wal").stat().st_size)
                await asyncio.sleep(0.002)
        last = await store.read("b", Start.LAST, 1)
        assert isinstance(last, Page)
        assert last.events[0].data == b"x" * 12_000
    # A checkpoint comes after so many pages, and before the log is cut it has grown by a step.
    assert most < 2**20 + 2 * 200 * 4096
    assert steps.count(True) <= free // 64 + 2


def free_pages(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("PRAGMA freelist_count").fetchone()[0])


# -- a file of an earlier version ------------------------------------------------


def earlier(path: Path) -> None:
    """A database as schema 1 was, with a channel of three events."""
    text = (resources.files("pushhub.store.sqlite") / "schema.sql").read_text()
    lines = [line for line in text.splitlines() if "auto_vacuum" not in line]
    old = "\n".join(line for line in lines if not line.strip().startswith(("floor", "used")))
    old = old.replace("user_version = 2", "user_version = 1")
    old = old.replace("commits INTEGER NOT NULL,", "commits INTEGER NOT NULL")
    old = old.replace("keep_seconds REAL,  ", "keep_seconds REAL  ").replace("'', 0, 0)", "'', 0)")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(old)
        connection.execute("UPDATE log SET epoch = 'abcdefghijkl', lineage = 'abc', commits = 7")
        connection.execute("INSERT INTO channels VALUES (1, 'a', 1, 3, 'abcdefghijkl', 1000, NULL)")
        connection.executemany(
            "INSERT INTO events VALUES (1, ?, 1, 'abcdefghijkl', '', '', '', ?)",
            [(offset, b"%d" % offset) for offset in (1, 2, 3)],
        )
        connection.commit()
    path.with_name(path.name + ".lineage").write_text(f"abc {7:020d}\n")


async def test_a_file_of_schema_1_is_upgraded_and_keeps_its_epoch(
    tmp_path: Path, clock: Clock
) -> None:
    path = tmp_path / "log.db"
    earlier(path)
    async with opened(made(path, clock, AGE)) as store:
        assert store.epoch == "abcdefghijkl"
        read = await store.read("a", Cursor(store.epoch, 1), 9)
        assert isinstance(read, Page)
        assert [event.data for event in read.events] == [b"2", b"3"]
        # When it was used last is not known: from now on it counts.
        await asyncio.sleep(0.1)
        assert await store.count() == 1
        clock.advance(AGE + 1)
        await counted(store, 0)


async def test_compacting_keeps_the_epoch_and_lets_the_file_shrink(
    tmp_path: Path, clock: Clock
) -> None:
    path = tmp_path / "log.db"
    earlier(path)
    async with opened(made(path, clock)) as store:
        await publish(store, *[item("x" * 50_000, f"c{number}", KEEP) for number in range(20)])
        for number in range(20):
            await store.delete(f"c{number}")
        with pytest.raises(StoreError, match="in use"):
            compact(str(path))
    before, after = compact(str(path))
    assert after < before / 4
    async with opened(made(path, clock)) as store:
        assert store.epoch == "abcdefghijkl"
        read = await store.read("a", Start.EARLIEST, 9)
        assert isinstance(read, Page)
        assert len(read.events) == 3
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)
