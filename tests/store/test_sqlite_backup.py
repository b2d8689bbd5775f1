"""Backups of a log in use, and what is no log."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from pushhub.log.cursor import Start, parse_cursor
from pushhub.log.read import Page
from pushhub.store.base import StoreError
from pushhub.store.sqlite.backup import backup, check, restore
from pushhub.store.sqlite.store import SqliteStore
from tests.store.labs import item, opened, publish

ROOT = Path(__file__).parents[2]


def at(path: Path) -> SqliteStore:
    return SqliteStore(str(path))


def grow_and_back_up(path: Path, copy: Path) -> dict[str, int]:
    """Back up a log a few times while another process appends to it; what that was told."""
    command = [sys.executable, "-m", "tests.store.appender", str(path)]
    acknowledged: dict[str, int] = {}
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        for _ in range(5):
            for _ in range(200):
                channel, cursor, _ = child.stdout.readline().decode().split()
                offset = parse_cursor(cursor).offset
                acknowledged[channel] = max(offset, acknowledged.get(channel, 0))
            assert backup(str(path), str(copy), replace=True).faults == ()
        child.kill()
    return acknowledged


async def test_a_backup_of_a_log_that_grows_has_all_that_was_acknowledged(tmp_path: Path) -> None:
    path, copy = tmp_path / "log.db", tmp_path / "copy.db"
    acknowledged = await asyncio.to_thread(grow_and_back_up, path, copy)
    assert sorted(os.listdir(tmp_path)) == sorted(
        ["copy.db", *(f"log.db{side}" for side in ("", "-wal", "-shm", ".lineage"))]
    )
    async with opened(at(copy)) as store:
        for name, least in acknowledged.items():
            read = await store.read(name, Start.NOW, 1)
            assert isinstance(read, Page)
            assert read.cursor.offset >= least


async def test_a_backup_that_fails_leaves_the_former(tmp_path: Path) -> None:
    path, copy = tmp_path / "log.db", tmp_path / "copy.db"
    async with opened(at(path)) as store:
        await publish(store, item())
        backup(str(path), str(copy))
        before = copy.read_bytes()
        with pytest.raises(StoreError, match="exists; name another file"):
            backup(str(path), str(copy))
        with pytest.raises(StoreError, match="must not be the database"):
            backup(str(path), str(path), replace=True)
        with pytest.raises(StoreError, match="There is no database"):
            backup(str(tmp_path / "none"), str(copy), replace=True)
        assert copy.read_bytes() == before
        with pytest.raises(StoreError, match=r"cannot be (written|used)"):
            backup(str(path), str(tmp_path / "no" / "copy.db"))


async def test_each_copy_of_a_backup_is_a_life_of_its_own(tmp_path: Path) -> None:
    path, copy = tmp_path / "log.db", tmp_path / "copy.db"
    async with opened(at(path)) as store:
        await publish(store, item())
        epochs = {store.epoch}
        backup(str(path), str(copy))
    for _ in range(2):
        restore(str(path), str(copy))
        async with opened(at(path)) as store:
            epochs.add(store.epoch)
    assert len(epochs) == 3
    assert sorted(name for name in os.listdir(tmp_path) if "before" in name) == [
        "log.db.before-1",
        "log.db.before-2",
    ]


async def test_a_check_finds_what_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with opened(at(path)) as store:
        await publish(store, *[item("x" * 3000) for _ in range(50)])
    assert check(str(path)).faults == ()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM events WHERE offset = 7")
    [fault] = check(str(path)).faults
    assert fault == "Channel 'a' should have the events 1 to 50, and has 49 (1 to 50)."
    with pytest.raises(StoreError, match="is damaged"):
        restore(str(path), str(path))
    with path.open("r+b") as file:
        file.seek(4096 * 3)
        file.write(b"\x55" * 4096)
    assert found(path)


def found(path: Path) -> bool:
    """Whether a check says that a file is damaged, in one way or the other."""
    try:
        return check(str(path)).faults != ()
    except StoreError:
        return True


def test_what_is_no_log_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    for work in (lambda: check(str(path)), lambda: restore(str(tmp_path / "log.db"), str(path))):
        with pytest.raises(StoreError, match="no database of pushhub"):
            work()
    assert os.listdir(tmp_path) == ["other.db"]
