"""Channels that nothing is published to for long: removed if that is asked for, and never mistaken
for what they were when they return. And the room that they took.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace
from importlib import resources
from typing import TYPE_CHECKING

import pytest

from pushhub.protocol.cursor import Cursor, Start
from pushhub.protocol.page import Gap, Page, Reason
from pushhub.store import sqlite_log
from pushhub.store.base import REGISTER, Expect, Mismatch, Retention, StoreError, append
from pushhub.store.memory import MemoryStore
from pushhub.store.span import LEAST_FLOOR
from pushhub.store.sqlite import SqliteStore
from pushhub.store.sqlite_backup import compact
from pushhub.store.urls import open_store_url
from tests.store.conftest import Clock, Recorder, item, opened, publish, until

if TYPE_CHECKING:
    from pathlib import Path

    from pushhub.store.base import Store

AGE = 100.0
KEEP = Retention(age=None)


def made(kind: str, path: Path, clock: Clock, age: float | None = AGE) -> Store:
    if kind == "memory":
        return MemoryStore(clock, idle_age=age)
    return SqliteStore(str(path), clock, sweep_seconds=0.01, idle_age=age)


@pytest.fixture(params=["memory", "sqlite"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def counted(store: Store, count: int) -> None:
    """Wait until so many channels take room."""
    async with asyncio.timeout(10):
        while await store.count() != count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_an_idle_channel_is_removed_and_told(kind: str, tmp_path: Path, clock: Clock) -> None:
    listener = Recorder()
    async with opened(made(kind, tmp_path / "log.db", clock), listener) as store:
        await publish(store, item("1"), item("2"), item("1", "b"))
        clock.advance(AGE / 2)
        await publish(store, item("2", "b"))
        clock.advance(AGE / 2 + 1)
        await publish(store, item("1", "c"))
        await counted(store, 2)
        assert [info.channel for info in await store.channels("", "", 9)] == ["b", "c"]
        await until(lambda: "a" in listener.told)
        assert [thing for thing in listener.told if isinstance(thing, str)] == ["a"]


async def test_no_cursor_from_before_fits_what_comes_after(
    kind: str, tmp_path: Path, clock: Clock
) -> None:
    path = tmp_path / "log.db"
    async with opened(made(kind, path, clock)) as store:
        before = await publish(store, *[item(str(number)) for number in range(3)])
        clock.advance(AGE + 1)
        await publish(store, item(channel="b"))
        await counted(store, 1)
        epoch = store.epoch
        # While it is gone, each reader is told that something may be missing.
        for cursor in (Cursor(epoch, 0), *(one.cursor for one in before)):
            read = await store.read("a", cursor, 9)
            assert isinstance(read, Gap)
            assert read.reason is Reason.TRIMMED
        now = await store.read("a", Start.NOW, 9)
        assert now == Page((), Cursor(epoch, LEAST_FLOOR), True)
        # A writer with an old ETag does not overwrite what is new.
        [back] = await publish(store, item("back"))
        assert back.cursor == Cursor(epoch, LEAST_FLOOR + 1)
        expect = Expect(frozenset(one.cursor for one in before))
        assert await append(store, replace(item("x"), expect=expect)) == [Mismatch(back.cursor)]
        for cursor in (Cursor(epoch, 0), *(one.cursor for one in before)):
            assert isinstance(await store.read("a", cursor, 9), Gap)
        # Whoever read it while it was gone misses nothing, and is told of nothing.
        read = await store.read("a", now.cursor, 9)
        assert isinstance(read, Page)
        assert [event.cursor for event in read.events] == [back.cursor]
    if kind == "sqlite":
        async with opened(made(kind, path, clock)) as store:
            [fresh] = await publish(store, item(channel="new"))
            assert fresh.cursor == Cursor(epoch, LEAST_FLOOR + 1)


async def test_registers_stay_and_deleted_channels_go(
    kind: str, tmp_path: Path, clock: Clock
) -> None:
    async with opened(made(kind, tmp_path / "log.db", clock)) as store:
        await publish(store, item("secret", "$account", REGISTER), item("1", "$gone"))
        await publish(store, item("1", "deleted"))
        await store.delete("$gone")
        await store.delete("deleted")
        assert await store.count() == 3
        clock.advance(AGE + 1)
        await publish(store, item(channel="b"))
        await counted(store, 2)
        read = await store.read("$account", Start.LAST, 1)
        assert isinstance(read, Page)
        assert [event.data for event in read.events] == [b"secret"]


async def test_nothing_is_removed_by_default(kind: str, tmp_path: Path, clock: Clock) -> None:
    async with opened(made(kind, tmp_path / "log.db", clock, None)) as store:
        await publish(store, item(retention=KEEP))
        clock.advance(1e9)
        await publish(store, item(channel="b"))
        await asyncio.sleep(0.1)  # several sweeps
        assert await store.count() == 2


def test_redis_refuses_an_idle_age() -> None:
    with pytest.raises(StoreError, match="channel_idle_age does not work with Redis"):
        open_store_url("redis://127.0.0.1:1/0", idle_age=AGE)


# -- room ------------------------------------------------------------------------


async def test_what_is_deleted_makes_the_file_smaller(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_log, "KEPT_FREE_PAGES", 16)
    path = tmp_path / "log.db"
    async with opened(made("sqlite", path, clock, None)) as store:
        await publish(store, *[item("x" * 50_000, f"c{number}", KEEP) for number in range(60)])
    big = path.stat().st_size
    assert big > 60 * 50_000
    async with opened(made("sqlite", path, clock, None)) as store:
        for number in range(60):
            await store.delete(f"c{number}")
        async with asyncio.timeout(20):
            while free_pages(path) > 16:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    assert path.stat().st_size < big / 10


def free_pages(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("PRAGMA freelist_count").fetchone()[0])


# -- a file of an earlier version ------------------------------------------------


def earlier(path: Path) -> None:
    """A database as schema 1 was, with a channel of three events."""
    text = (resources.files("pushhub.store") / "sqlite_schema.sql").read_text()
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
    async with opened(made("sqlite", path, clock)) as store:
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
    async with opened(made("sqlite", path, clock, None)) as store:
        await publish(store, *[item("x" * 50_000, f"c{number}", KEEP) for number in range(20)])
        for number in range(20):
            await store.delete(f"c{number}")
        with pytest.raises(StoreError, match="in use"):
            compact(str(path))
    before, after = compact(str(path))
    assert after < before / 4
    async with opened(made("sqlite", path, clock, None)) as store:
        assert store.epoch == "abcdefghijkl"
        read = await store.read("a", Start.EARLIEST, 9)
        assert isinstance(read, Page)
        assert len(read.events) == 3
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)
