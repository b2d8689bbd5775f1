"""What is special about the log in a file: crashes, restored copies, full disks, strange files."""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest
import structlog

from pushhub.log.cursor import Cursor, Start, parse_cursor
from pushhub.log.event import MAX_EVENT_BYTES, Event
from pushhub.log.read import Gap, Page, Reason
from pushhub.store.base import (
    IDEMPOTENCY_SECONDS,
    REGISTER,
    Append,
    Appended,
    Outcome,
    Retention,
    StoreError,
    StoreUnavailable,
    append,
)
from pushhub.store.sqlite import file as sqlite_file
from pushhub.store.sqlite import log as sqlite_log
from pushhub.store.sqlite import store as sqlite_store
from pushhub.store.sqlite.backup import backup
from pushhub.store.sqlite.copy_guard import Sidecar
from pushhub.store.sqlite.store import SqliteStore
from tests.store.labs import Clock, Recorder, item, opened, publish

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pushhub.store.base import Store

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


def at(path: Path) -> SqliteStore:
    return SqliteStore(str(path))


def query(path: Path, statement: str, *values: object) -> list[tuple[object, ...]]:
    """What another program sees in the file, or changes in it."""
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(statement, values).fetchall()


async def offsets(store: Store, channel: str = "a") -> list[int]:
    read = await store.read(channel, Start.EARLIEST, 1000)
    assert isinstance(read, Page)
    return [event.offset for event in read.events]


def python(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@asynccontextmanager
async def aclosing_file(path: Path) -> AsyncIterator[IO[bytes]]:
    """A descriptor of its own, as another program has."""
    with path.open("rb") as file:
        yield file


def sidecar(path: Path) -> Path:
    return path.with_name(path.name + ".lineage")


# -- crashes -------------------------------------------------------------------


def append_until_killed(path: Path, seconds: float) -> list[str]:
    """Let a process append for a while, kill it, and return what it had been told."""
    command = [sys.executable, "-m", "tests.store.appender", str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        timer = threading.Timer(seconds, child.kill)
        timer.start()
        output = child.stdout.read()
        timer.join()
    assert child.returncode == -signal.SIGKILL
    return output.decode().splitlines()


@pytest.mark.parametrize("seed", range(6))
async def test_a_killed_process_loses_nothing_acknowledged(path: Path, seed: int) -> None:
    async with opened(at(path)) as store:
        epoch = store.epoch
    moment = random.Random(seed).uniform(0.0, 0.3)
    acknowledged: dict[str, set[int]] = {}
    for _ in range(2):
        for line in await asyncio.to_thread(append_until_killed, path, moment):
            channel, text, _ = line.split()
            cursor = parse_cursor(text)
            assert cursor.epoch == epoch
            acknowledged.setdefault(channel, set()).add(cursor.offset)
    async with opened(at(path)) as store:
        assert store.epoch == epoch
        for channel, seen in acknowledged.items():
            kept, since = [], Cursor(epoch, 0)
            while not isinstance(read := await store.read(channel, since, 1000), Gap):
                kept += [event.offset for event in read.events]
                since = read.cursor
                if read.up_to_date:
                    break
            assert kept == list(range(1, len(kept) + 1))
            assert seen <= set(kept)


async def test_a_crash_between_commit_and_sidecar_keeps_the_epoch(path: Path) -> None:
    async with opened(at(path)) as store:
        epoch = store.epoch
    await asyncio.to_thread(append_until_killed, path, 0.2)
    text = sidecar(path).read_text()
    commits = text.split()[1]
    assert int(commits) > 1
    sidecar(path).write_text(text.replace(commits, f"{int(commits) - 1:020d}"))
    async with opened(at(path)) as store:
        assert store.epoch == epoch


async def test_a_crash_in_a_checkpoint_keeps_the_epoch(path: Path) -> None:
    first = at(path)
    async with opened(first):
        epoch = first.epoch
        await publish(first, item())
        first._file._announce_checkpoint()
        during = sidecar(path).read_bytes()
    # The file is another than it was before the checkpoint, and nobody noted which.
    sidecar(path).write_bytes(during)
    async with opened(at(path)) as store:
        assert store.epoch == epoch


async def test_the_sidecar_of_an_earlier_version_counts(path: Path) -> None:
    async with opened(at(path)) as store:
        epoch = store.epoch
        await publish(store, item())
    sidecar(path).write_bytes(sidecar(path).read_bytes()[:34])
    async with opened(at(path)) as store:
        assert store.epoch == epoch


# -- restored copies -----------------------------------------------------------


async def test_a_restored_copy_gets_a_new_epoch(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "backup.db"
    async with opened(at(path)) as store:
        await publish(store, item("1"), item("2"))
        epoch = store.epoch
    shutil.copy(path, copy)
    async with opened(at(path)) as store:
        assert store.epoch == epoch
        [lost] = await publish(store, item("lost"))
    shutil.copy(copy, path)
    async with opened(at(path)) as store:
        restored = store.epoch
        assert restored != epoch
        [other] = await publish(store, item("other"))
        assert other.cursor == Cursor(restored, lost.cursor.offset)
        assert await store.read("a", lost.cursor, 10) == Gap(
            Reason.EPOCH, Cursor(restored, 0), Cursor(restored, 3)
        )
        read = await store.read("a", Start.EARLIEST, 10)
        assert isinstance(read, Page)
        assert [event.epoch for event in read.events] == [epoch, epoch, restored]
        assert read.cursor == Cursor(restored, 3)
    async with opened(at(path)) as store:
        assert store.epoch == restored
    # A second time: the copy is of a life that has ended, however many commits it has.
    shutil.copy(copy, path)
    query(path, "UPDATE log SET commits = 1000")
    async with opened(at(path)) as store:
        assert store.epoch not in {epoch, restored}


@pytest.mark.parametrize("garbled", [None, b"", b"\0" * 34, b"nonsense"])
async def test_without_a_sidecar_a_file_counts_as_restored(
    path: Path, garbled: bytes | None
) -> None:
    async with opened(at(path)) as store:
        await publish(store, item())
        epoch = store.epoch
    if garbled is None:
        sidecar(path).unlink()
    else:
        sidecar(path).write_bytes(garbled)
    async with opened(at(path)) as store:
        changed = store.epoch
        assert changed != epoch
    async with opened(at(path)) as store:
        assert store.epoch == changed


@pytest.mark.parametrize("in_place", [False, True], ids=["replaced", "in-place"])
@pytest.mark.parametrize("live", [False, True], ids=["stopped", "live"])
async def test_a_snapshot_with_its_sidecar_gets_a_new_epoch(
    path: Path, tmp_path: Path, in_place: bool, live: bool
) -> None:
    """What `cp -a` of the folder, rsync and tar bring back: all files, with their times."""
    snapshot = tmp_path / "snapshot"

    def snap() -> None:
        snapshot.mkdir()
        for name in files(path):
            shutil.copy2(path.parent / name, snapshot / name)

    folder = tmp_path / "data"
    folder.mkdir()
    path = folder / "log.db"
    async with opened(at(path)) as store:
        await publish(store, *[item(str(number)) for number in range(50)])
        epoch = store.epoch
        if live:
            snap()
    if not live:
        snap()
    async with opened(at(path)) as store:
        assert store.epoch == epoch
        lost = await publish(store, *[item(str(number)) for number in range(50)])
    for name in files(path):
        if not in_place or not (snapshot / name).exists():
            os.unlink(folder / name)
    for file in snapshot.iterdir():
        if in_place and (folder / file.name).exists():
            (folder / file.name).write_bytes(file.read_bytes())
            os.utime(folder / file.name, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
        else:
            shutil.copy2(file, folder / file.name)
    if live:
        # A write-ahead log came with it; whether it is that of this file cannot be known.
        await refused(path, f"remove {path}.lineage")
        os.unlink(sidecar(path))
    async with opened(at(path)) as store:
        assert store.epoch != epoch
        read = await store.read("a", lost[-1].cursor, 10)
        assert isinstance(read, Gap)
        assert read.reason is Reason.EPOCH


async def test_a_backup_beside_the_former_write_ahead_log_is_refused(
    path: Path, tmp_path: Path
) -> None:
    async with opened(at(path)) as store:
        await publish(store, item("1"))
    shutil.copy(path, tmp_path / "backup")
    await asyncio.to_thread(append_until_killed, path, 0.2)
    assert path.with_name("log.db-wal").stat().st_size
    shutil.copy(tmp_path / "backup", path)
    before = files(path)
    await refused(path, f"is not the file that pushhub left .* remove {path}-wal")
    assert files(path) == before
    for side in ("-wal", "-shm"):
        os.unlink(f"{path}{side}")
    async with opened(at(path)) as store:
        assert await offsets(store) == [1]


async def test_a_changed_mode_after_a_kill_keeps_what_was_acknowledged(path: Path) -> None:
    """It looks like a copied backup, and the refusal's advice must not cost the events."""
    async with opened(at(path)) as store:
        await publish(store, item("1"))
        epoch = store.epoch
    lines = await asyncio.to_thread(append_until_killed, path, 0.2)
    await asyncio.to_thread(path.chmod, 0o600)
    await refused(path, f"mode was changed, keep them: .* remove {path}.lineage instead")
    os.unlink(sidecar(path))
    async with opened(at(path)) as store:
        assert store.epoch != epoch
        for line in lines:
            channel, text, _ = line.split()
            read = await store.read(channel, Start.NOW, 1)
            assert isinstance(read, Page)
            assert read.cursor.offset >= parse_cursor(text).offset


async def test_a_foreign_write_ahead_log_without_a_sidecar_is_refused(
    path: Path, tmp_path: Path
) -> None:
    async with opened(at(path)) as store:
        await publish(store, *[item("x" * 5000, f"c{number}") for number in range(100)])
    shutil.copy(path, tmp_path / "backup")
    async with opened(at(path)) as store:
        await publish(store, *[item("x" * 5000, f"d{number}") for number in range(100)])
    await asyncio.to_thread(append_until_killed, path, 0.3)
    shutil.copy(tmp_path / "backup", path)
    os.unlink(sidecar(path))
    await refused(path, "do not belong together, or are damaged .*restore")


async def test_a_moved_folder_gets_a_new_epoch(path: Path, tmp_path: Path) -> None:
    async with opened(at(path)) as store:
        await publish(store, item())
        epoch = store.epoch
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / "log.db"
    for name in files(path):
        shutil.copy2(path.parent / name, other.parent / name)
    async with opened(at(other)) as store:
        assert store.epoch != epoch
        assert await offsets(store) == [1]


async def test_a_deleted_file_is_a_new_life(path: Path) -> None:
    async with opened(at(path)) as store:
        epoch = store.epoch
    os.unlink(path)
    async with opened(at(path)) as store:
        assert store.epoch != epoch


# -- one owner -----------------------------------------------------------------


def modes(path: Path) -> dict[str, int]:
    """The permissions of the files of a log, for the group and for others."""
    return {one.name: one.stat().st_mode & 0o077 for one in path.parent.iterdir()}


async def test_no_other_user_may_read_a_log(path: Path) -> None:
    before = os.umask(0)
    try:
        async with opened(at(path)) as store:
            await publish(store, item("1"))
            during = modes(path)
        backup(str(path), str(path) + ".copy")
    finally:
        os.umask(before)
    assert {"log.db", "log.db-wal", "log.db-shm", "log.db.lineage"} == during.keys()
    assert set(during.values()) == set(modes(path).values()) == {0}


async def test_a_log_that_all_users_may_read_is_narrowed_and_keeps_its_epoch(path: Path) -> None:
    async with opened(at(path)) as store:
        await publish(store, item("1"))
        epoch = store.epoch
    await asyncio.to_thread(append_until_killed, path, 0.2)
    assert (path.parent / "log.db-wal").exists()
    # As an earlier version left it.
    note = Sidecar(str(path))
    left = note.read()
    assert left is not None
    assert left.identity is not None
    for one in path.parent.iterdir():
        one.chmod(0o644)
    changed = os.stat(path).st_ctime_ns
    note.write(left.mark, replace(left.identity, changed=changed))
    note.release()
    with structlog.testing.capture_logs() as logs:
        for _ in range(2):
            async with opened(at(path)) as store:
                assert store.epoch == epoch
                assert set(modes(path).values()) == {0}
    narrowed = [log["path"] for log in logs if log["event"] == "store.narrowed"]
    assert sorted(narrowed) == [f"{path}{side}" for side in ("", "-shm", "-wal", ".lineage")]


async def test_a_mode_that_only_the_group_shares_stays(path: Path) -> None:
    async with opened(at(path)):
        pass
    os.chmod(path, 0o640)
    async with opened(at(path)):
        assert os.stat(path).st_mode & 0o777 == 0o640


async def test_a_second_owner_is_refused(path: Path, tmp_path: Path) -> None:
    other_name = tmp_path / "link.db"
    other_name.symlink_to(path)
    async with opened(at(path)) as store:
        for name in (path, other_name):
            child = await asyncio.to_thread(python, "-m", "tests.store.appender", name)
            assert "in use by another process" in child.stderr
            assert "run the workers on redis://" in child.stderr
        with pytest.raises(StoreError, match="redis://"):
            await at(path).open(Recorder())
        await publish(store, item())
    async with opened(at(path)) as store:
        assert await offsets(store) == [1]


async def test_a_second_owner_is_refused_whatever_is_removed(path: Path) -> None:
    async with opened(at(path)) as store:
        await publish(store, item())
        for side in (".lineage", "-shm"):
            os.unlink(f"{path}{side}")
        child = await asyncio.to_thread(python, "-m", "tests.store.appender", path)
        assert "in use by another process" in child.stderr
        with pytest.raises(StoreError, match="in use"):
            await at(path).open(Recorder())
        # A vain try to own it has not taken SQLite's own locks away either.
        await publish(store, item())
    async with opened(at(path)) as store:
        assert await offsets(store) == [1, 2]


async def test_an_earlier_version_is_kept_out(path: Path) -> None:
    async with opened(at(path)), aclosing_file(sidecar(path)) as side:
        with pytest.raises(BlockingIOError):
            fcntl.flock(side, fcntl.LOCK_EX | fcntl.LOCK_NB)


async def test_the_lock_goes_with_its_process(path: Path) -> None:
    await asyncio.to_thread(append_until_killed, path, 0.1)
    async with opened(at(path)) as store:
        await publish(store, item())


@pytest.mark.parametrize("how", ["removed", "replaced"])
async def test_a_file_that_is_replaced_under_a_hub_takes_no_more(
    path: Path, tmp_path: Path, how: str
) -> None:
    async with opened(at(path)) as store:
        await publish(store, item("1"))
        shutil.copy(path, tmp_path / "backup")
        if how == "removed":
            os.unlink(path)
        else:
            os.replace(tmp_path / "backup", path)
        with structlog.testing.capture_logs() as logs:
            for _ in range(3):
                [outcome] = await append(store, item("2"))
                assert isinstance(outcome, StoreUnavailable)
                assert "was removed or replaced while pushhub ran" in str(outcome)
        assert [entry["event"] for entry in logs] == ["store.write_failed"]


# -- the write-ahead log -------------------------------------------------------


async def test_the_write_ahead_log_is_bounded_whatever_is_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "WAL_BYTES", 2**20)
    monkeypatch.setattr(sqlite_log, "CHECKPOINT_PAGES", 100)
    keep = Retention(events=4)
    most = 0
    async with opened(at(path)) as store:
        await publish(store, *[item("x" * 100_000, "r") for _ in range(9)])
        reading = [asyncio.create_task(read_without_a_pause(store)) for _ in range(8)]
        for _ in range(100):
            await publish(store, item("x" * 100_000, retention=keep))
            most = max(most, path.with_name("log.db-wal").stat().st_size)
        for task in reading:
            task.cancel()
    # A checkpoint comes after so many pages, and before the log is cut it has grown by a commit.
    assert most < 2**20 + 2 * 100 * 4096
    async with opened(at(path)) as store:
        assert await offsets(store) == [97, 98, 99, 100]


async def read_without_a_pause(store: Store) -> None:
    while True:
        await store.read("r", Start.EARLIEST, 9)


async def test_a_reader_of_another_program_delays_no_publish(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "WAL_BYTES", 2**18)
    monkeypatch.setattr(sqlite_log, "CHECKPOINT_PAGES", 10)
    async with opened(at(path)) as store:
        await publish(store, item())
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN")
            other.execute("SELECT count(*) FROM events").fetchone()
            async with asyncio.timeout(4):  # less than SQLite would wait for the reader
                for _ in range(20):
                    await publish(store, item("x" * 50_000))
            other.execute("ROLLBACK")
        for _ in range(20):
            await publish(store, item("x" * 50_000))
        assert path.with_name("log.db-wal").stat().st_size < 2**18 + 2**18


# -- a full disk ---------------------------------------------------------------


async def test_a_full_disk_refuses_and_recovers(path: Path) -> None:
    listener, store = Recorder(), at(path)
    async with opened(store, listener):
        await publish(store, item("1"))
        limit_pages(store, 40)
        with structlog.testing.capture_logs() as logs:
            big = item("x" * MAX_EVENT_BYTES)
            outcomes = [await append(store, item("no"), big) for _ in range(3)]
            assert isinstance(refusal := outcomes[0][0], StoreUnavailable)
            assert str(refusal) == "The database cannot be written: database or disk is full."
            assert {type(one) for pair in outcomes for one in pair} == {StoreUnavailable}
            assert await offsets(store) == [1]
            limit_pages(store, 1_000_000)
            [two, three] = await publish(store, item("2"), big)
        assert [entry["event"] for entry in logs] == ["store.write_failed", "store.recovered"]
        assert (two.cursor.offset, three.cursor.offset) == (2, 3)
        assert [event.offset for event in listener.told if isinstance(event, Event)] == [1, 2, 3]
    async with opened(at(path)) as again:
        assert await offsets(again) == [1, 2, 3]


def limit_pages(store: SqliteStore, pages: int) -> None:
    """As if the disk had no room for more; the store is idle, so its connection can be borrowed."""
    store._file.writer.execute(f"PRAGMA max_page_count = {pages}")


async def test_a_file_that_cannot_grow_refuses_and_keeps_what_it_has(path: Path) -> None:
    async with opened(at(path)) as store:
        epoch = store.epoch
    script = (
        "import resource, runpy, signal\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({2**20}, {2**20}))\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "runpy.run_module('tests.store.appender', run_name='__main__')"
    )
    child = await asyncio.to_thread(python, "-c", script, path)
    assert "The database cannot be written: " in child.stderr
    assert child.returncode == 0
    lines = [line.split() for line in child.stdout.splitlines()]
    acknowledged = {line[2].encode() for line in lines if line[0].startswith("c")}
    refused = {line[2].encode() for line in lines if line[0] == "refused"}
    kept: list[bytes] = []
    async with opened(at(path)) as store:
        assert store.epoch == epoch
        for info in await store.channels("", "", 10):
            read = await store.read(info.channel, Start.EARLIEST, 10_000)
            assert isinstance(read, Page)
            assert [event.offset for event in read.events] == list(range(1, info.events + 1))
            kept += [event.data for event in read.events]
    assert sorted(kept) == sorted(acknowledged)
    assert acknowledged
    assert len(refused) == 800


async def test_a_failed_delete_is_told(path: Path) -> None:
    store = at(path)
    async with opened(store):
        await publish(store, item())
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            store._file.writer.execute("PRAGMA busy_timeout = 0")
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailable, match="locked"):
                await store.delete("a")
            other.execute("ROLLBACK")
        assert await store.delete("a") is True


# -- the queue -----------------------------------------------------------------


async def test_what_waits_for_the_disk_is_bounded(path: Path) -> None:
    async with opened(SqliteStore(str(path), max_pending=3)) as store:
        settled: list[Outcome] = []
        for _ in range(5):
            store.append([item()], settled.extend)
        assert [type(outcome) for outcome in settled] == [StoreUnavailable] * 2
        assert "publish again in a moment" in str(settled[0])
        # A delete comes after them.
        await store.delete("none")
        await publish(store, item())
        assert await offsets(store) == [1, 2, 3, 4]


async def test_its_bytes_are_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_store, "MAX_PENDING_BYTES", 2 * MAX_EVENT_BYTES)
    async with opened(at(path)) as store:
        big = item("x" * MAX_EVENT_BYTES)
        outcomes = await asyncio.gather(*(append(store, big) for _ in range(3)))
        kinds = [type(outcome) for [outcome] in outcomes]
        assert kinds == [Appended, Appended, StoreUnavailable]
        await publish(store, big)


async def test_a_listener_that_fails_fails_alone(path: Path) -> None:
    class Broken(Recorder):
        def wake(self, event: Event) -> None:
            if event.data == b"bad":
                raise RuntimeError("broken")
            super().wake(event)

    listener = Broken()
    async with opened(at(path), listener) as store:
        with structlog.testing.capture_logs() as logs:
            store.append([item("bad")], lambda outcomes: None)
            await publish(store, item("good"))
        assert [entry["event"] for entry in logs] == ["store.listener_failed"]
        assert len(listener.told) == 1


# -- what the file holds -------------------------------------------------------


async def until(path: Path, statement: str, rows: list[tuple[object, ...]]) -> None:
    """Wait for the file to hold `rows`, for ten seconds at most."""
    deadline = time.monotonic() + 10
    while (found := query(path, statement)) != rows:
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.01)


async def test_the_sweep_removes_what_is_aged(
    path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_log, "SWEEP_CHANNELS", 3)
    monkeypatch.setattr(sqlite_log, "SWEEP_ROWS", 7)
    keep = Retention(age=60)
    async with opened(SqliteStore(str(path), clock, sweep_seconds=0.02)) as store:
        for number in range(10):
            channel = f"c{number}"
            await publish(store, *[item(str(i), channel, keep) for i in range(10)])
        await publish(store, *[Append("k", item().draft, keep, key=str(i)) for i in range(20)])
        await publish(store, *[item(channel="kept", retention=Retention(age=None))] * 2)
        await publish(store, item(channel="$own", retention=keep), item(channel="$kept"))
        await publish(store, item(channel="$register", retention=REGISTER))
        clock.advance(max(60, IDEMPOTENCY_SECONDS) + 1)
        await publish(store, item("last", "c0", keep))
        await until(
            path,
            "SELECT name, count(*) FROM channels, events WHERE channel = channels.id GROUP BY name",
            [
                *(("$kept", 1), ("$register", 1)),
                *((f"c{number}", 1) for number in range(10)),
                *(("k", 1), ("kept", 2)),
            ],
        )
        await until(path, "SELECT count(*) FROM keys", [(0,)])
        read = await store.read("c0", Cursor(store.epoch, 9), 10)
        assert read == Gap(Reason.TRIMMED, Cursor(store.epoch, 10), Cursor(store.epoch, 11))
        assert await offsets(store, "c1") == [10]
        assert (await publish(store, item(channel="c1")))[0].cursor.offset == 11


async def test_nothing_is_committed_for_nothing(path: Path) -> None:
    async with opened(SqliteStore(str(path), sweep_seconds=0.001)) as store:
        await publish(store, Append("a", item().draft, key="k"))
        before = query(path, "SELECT commits FROM log")
        await publish(store, Append("a", item().draft, key="k"))
        await store.delete("none")
        await asyncio.sleep(0.05)
        assert query(path, "SELECT commits FROM log") == before


async def test_trimmed_events_leave_the_file(path: Path) -> None:
    async with opened(at(path)) as store:
        for _ in range(30):
            await publish(store, *[item(retention=Retention(events=5)) for _ in range(7)])
        await publish(store, item(channel="b"))
        await store.delete("b")
    assert query(path, "SELECT count(*), min(offset), max(offset) FROM events") == [(5, 206, 210)]


async def test_more_channels_than_are_cached(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_log, "MAX_CACHED_CHANNELS", 2)
    async with opened(at(path)) as store:
        for number in range(1, 4):
            for channel in "abcdef":
                [outcome] = await publish(store, item(channel=channel))
                assert outcome.cursor.offset == number


async def test_a_commit_waits_for_the_disk(path: Path) -> None:
    # No test can cut the power; these two settings are what a power cut rests on.
    store = at(path)
    async with opened(store):
        connection = store._file.writer
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_a_clean_stop_leaves_one_whole_file(path: Path) -> None:
    async with opened(at(path)) as store:
        await publish(store, item())
    assert sorted(p.name for p in path.parent.iterdir()) == ["log.db", "log.db.lineage"]
    assert query(path, "PRAGMA integrity_check") == [("ok",)]


# -- files that are no log -----------------------------------------------------


def write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def files(path: Path) -> dict[str, bytes]:
    """The contents of all files in the folder."""
    return {file.name: file.read_bytes() for file in path.parent.iterdir() if file.is_file()}


async def refused(path: Path, sentence: str) -> None:
    with pytest.raises(StoreError, match=sentence) as caught:
        await at(path).open(Recorder())
    assert str(path) in str(caught.value) or str(path.parent) in str(caught.value)


async def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    await refused(tmp_path / "no" / "log.db", "folder .* does not exist")


async def test_a_folder_is_refused(tmp_path: Path) -> None:
    await refused(tmp_path, "is a folder")


async def test_a_file_as_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    await refused(tmp_path / "file" / "log.db", "cannot be used: Not a directory")


async def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    write(path, b"Dear diary, today I was opened by mistake. " * 100)
    before = files(path)
    await refused(path, "no SQLite database")
    assert files(path) == before


async def test_another_programs_database_is_refused(path: Path) -> None:
    query(path, "CREATE TABLE recipes (name TEXT)")
    before = files(path)
    await refused(path, "belongs to another program")
    assert files(path) == before


async def test_a_database_from_the_future_is_refused(path: Path) -> None:
    async with opened(at(path)) as store:
        await publish(store, item())
    query(path, "PRAGMA user_version = 99")
    await refused(path, r"newer pushhub \(schema 99, this one knows 2\); upgrade")
    query(path, "PRAGMA user_version = 2")
    async with opened(at(path)) as store:
        assert await offsets(store) == [1]


@pytest.mark.parametrize("what", ["folder", "database", "sidecar"])
async def test_what_may_not_be_written_is_refused(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    os.chmod(folder, 0o777)
    path = folder / "log.db"
    if what != "folder":
        async with opened(at(path)) as store:
            await publish(store, item())
    for name in files(path):
        os.chmod(folder / name, 0o777)
    os.chmod({"folder": folder, "database": path, "sidecar": sidecar(path)}[what], 0o555)
    # Nobody can come so far: pytest makes its folders for their owner alone.
    for parent in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        os.chmod(parent, 0o755)
    # The superuser may write everything.
    drop = "os.setuid(65534); " if os.geteuid() == 0 else ""
    script = (
        "import asyncio, os, sys\n"
        "from pushhub.store.sqlite.store import SqliteStore\n"
        f"{drop}asyncio.run(SqliteStore(sys.argv[1]).open(None))"
    )
    child = await asyncio.to_thread(python, "-c", script, path)
    assert f"StoreError: The database {path} cannot be used: " in child.stderr


async def test_it_shows_its_live_counts(path: Path) -> None:
    async with opened(at(path)) as store:
        store.append([item()], lambda outcomes: None)
        assert repr(store) == f"<SqliteStore {path} {store.epoch} open 1 pending>"
