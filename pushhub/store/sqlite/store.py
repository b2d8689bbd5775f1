"""A log in one SQLite file: durable, one process, no services.

Appends and deletes go through a queue to one writer thread, which takes all that has come, runs it
in one transaction, forces it to disk once, and hands the outcomes back to the event loop. While it
waits for the disk the next batch collects, so the log keeps up with many publishers without
delaying a single one. Reads run on a thread of their own.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import structlog

from pushhub.store.base import Append, ChannelInfo, Listener, Outcome, StoreError, StoreUnavailable
from pushhub.store.refusals import RefusalLog
from pushhub.store.sqlite.file import SqliteFile
from pushhub.store.sqlite.jobs import AppendsJob, DeleteJob, Job, RetainedJob, settle
from pushhub.store.sqlite.log import SqliteLog
from pushhub.store.sqlite.reader import SqliteReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pushhub.log.cursor import Since
    from pushhub.log.read import Read

# One transaction. More would let the first of a batch wait for the last, and gain little.
BATCH_APPENDS = 512

# What may wait for the disk: about half a second of small events, or 256 of the largest.
MAX_PENDING_APPENDS = 10_000
MAX_PENDING_BYTES = 64 * 1024 * 1024

# How often aged events are removed from the file. Reads hide them immediately.
SWEEP_SECONDS = 30.0

# The reasons for SQLite's errors, by the beginning of their names.
_WORDS = {
    "SQLITE_FULL": "disk-full",
    "SQLITE_IOERR": "io",
    "SQLITE_READONLY": "readonly",
    "SQLITE_BUSY": "locked",
}

log = structlog.get_logger()

P = ParamSpec("P")
T = TypeVar("T")


class SqliteStore:
    """`sqlite:///path`. `clock` gives seconds since 1970, and is called on several threads."""

    # Publishers and readers are in one process.
    certain = True

    def __init__(
        self,
        path: str,
        clock: Callable[[], float] = time.time,
        *,
        max_pending: int = MAX_PENDING_APPENDS,
        sweep_seconds: float = SWEEP_SECONDS,
        idle_age: float | None = None,
    ) -> None:
        """`idle_age`: seconds without an append after which a channel is removed; None: never."""
        self._idle_age = idle_age
        self._path = path
        self._clock = clock
        self._max_pending = max_pending
        self._sweep_seconds = sweep_seconds
        self._epoch = ""
        self._open = False
        self._pending = 0
        self._pending_bytes = 0
        self._failing = False
        # A disk may have room for one commit and not for the next. Each thread has its own log.
        self._lines = RefusalLog[dict[str, object]](_log_line)
        self._listener_lines = RefusalLog[dict[str, object]](_log_line)
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()

    async def open(self, listener: Listener) -> None:
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._readers = ThreadPoolExecutor(1, "pushhub-store-reader")
        try:
            self._file = await self._loop.run_in_executor(self._readers, SqliteFile, self._path)
        except BaseException:
            self._readers.shutdown()
            raise
        self._epoch = self._file.epoch
        self._log = SqliteLog(self._file, self._clock)
        self._reader = SqliteReader(self._file, self._clock)
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._writer = threading.Thread(
            target=self._write, name="pushhub-store-writer", daemon=True
        )
        self._writer.start()
        self._open = True

    async def close(self) -> None:
        if not self._open:
            return
        self._open = False
        # A read that has begun ends first, or the log could not be written back into the file.
        await self._loop.run_in_executor(self._readers, int)
        self._readers.shutdown()
        self._jobs.put(None)
        await asyncio.shield(self._closed)
        self._writer.join()
        self._lines.close()
        self._listener_lines.close()

    @property
    def epoch(self) -> str:
        return self._epoch

    @property
    def ready(self) -> bool:
        return self._open

    def append(self, appends: list[Append], done: Callable[[list[Outcome]], None]) -> None:
        size = sum(len(append.draft.data) for append in appends)
        refusal = self._refusal(len(appends), size)
        if refusal is not None:
            done([refusal] * len(appends))
            return
        self._pending += len(appends)
        self._pending_bytes += size
        self._jobs.put(AppendsJob(appends, done, size, [], []))

    async def read(self, channel: str, since: Since, limit: int) -> Read:
        return await self._run(self._reader.read, channel, since, limit)

    async def tail(self, channel: str, limit: int) -> Read:
        return await self._run(self._reader.tail, channel, limit)

    async def count(self) -> int:
        return await self._run(self._reader.count)

    async def time(self) -> float:
        return self._clock() * 1000

    async def delete(self, channel: str) -> bool:
        if not self._open:
            raise _closed()
        done: asyncio.Future[bool] = self._loop.create_future()
        self._jobs.put(DeleteJob(channel, done))
        return await done

    async def retained(self, namespace: str) -> int:
        if not self._open:
            raise _closed()
        done: asyncio.Future[int] = self._loop.create_future()
        self._jobs.put(RetainedJob(namespace, done))
        return await done

    def leave(self, channel: str) -> None:
        """Nothing to undo: the listener is woken for every channel."""

    async def channels(self, prefix: str, after: str, limit: int) -> list[ChannelInfo]:
        return await self._run(self._reader.channels, prefix, after, limit)

    # -- on the event loop ---------------------------------------------------

    def _refusal(self, count: int, size: int) -> StoreUnavailable | None:
        if not self._open:
            return _closed()
        if self._pending + count > self._max_pending or (
            self._pending_bytes + size > MAX_PENDING_BYTES
        ):
            return StoreUnavailable(
                f"More than {self._max_pending} events or {MAX_PENDING_BYTES >> 20} MiB wait for "
                "the disk; publish again in a moment.",
                "busy",
            )
        return None

    async def _run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if not self._open:
            raise _closed()
        try:
            return await self._loop.run_in_executor(self._readers, function, *args, **kwargs)
        except sqlite3.Error as error:
            raise StoreUnavailable(
                f"The database cannot be read: {error}.", _reason(error)
            ) from error

    def _deliver(self, jobs: list[Job]) -> None:
        """Report the settled jobs: to the listener first, then to the callers."""
        for job in jobs:
            try:
                if isinstance(job, AppendsJob):
                    self._pending -= len(job.appends)
                    self._pending_bytes -= job.size
                    for event in job.events:
                        self._listener.wake(event)
                    job.done(job.outcomes)
                else:
                    if isinstance(job, DeleteJob) and job.outcome is True:
                        self._listener.forget(job.channel)
                    settle(job)
            except Exception as error:
                # The other jobs are not at fault: they are reported all the same.
                about = _traceback(error)
                self._listener_lines.note("store.listener_failed", about, time.monotonic())

    # -- on the writer thread ------------------------------------------------

    def _write(self) -> None:
        sweep_at = time.monotonic() + self._sweep_seconds
        sweep = self._sweep()
        try:
            while True:
                jobs, last = self._take(sweep_at - time.monotonic())
                if jobs:
                    self._commit(jobs)
                    self._call(self._deliver, jobs)
                if last:
                    return
                if time.monotonic() >= sweep_at and not next(sweep, False):
                    sweep = self._sweep()
                    sweep_at = time.monotonic() + self._sweep_seconds
        finally:
            try:
                self._file.close()
            finally:
                self._call(self._closed.set_result, None)

    def _take(self, seconds: float) -> tuple[list[Job], bool]:
        """The jobs in the queue, or the first within `seconds`, up to a batch; and whether the end
        of the queue follows.
        """
        jobs: list[Job] = []
        size = 0
        try:
            job = self._jobs.get(timeout=max(seconds, 0))
            while job is not None:
                jobs.append(job)
                size += len(job.appends) if isinstance(job, AppendsJob) else 1
                if size >= BATCH_APPENDS:
                    return jobs, False
                job = self._jobs.get_nowait()
        except queue.Empty:
            return jobs, False
        return jobs, True

    def _commit(self, jobs: list[Job]) -> None:
        """Run the jobs in one transaction, and note the result in each."""
        try:
            self._log.begin()
            for job in jobs:
                if isinstance(job, AppendsJob):
                    for append in job.appends:
                        outcome, event = self._log.append(append)
                        job.outcomes.append(outcome)
                        if event is not None:
                            job.events.append(event)
                elif isinstance(job, DeleteJob):
                    job.outcome = self._log.delete(job.channel)
                else:
                    job.outcome = self._log.retained(job.namespace)
            self._log.commit()
        except Exception as error:
            refusal = self._fail(error)
            for job in jobs:
                if isinstance(job, AppendsJob):
                    job.outcomes = [refusal] * len(job.appends)
                    job.events = []
                else:
                    job.outcome = refusal
        else:
            self._recover()

    def _sweep(self) -> Iterator[bool]:
        """Remove what is aged or idle, and give room back: one slice, one transaction a step."""
        begin = 0
        while True:
            begin = self._slice(self._log.sweep, begin) or 0
            yield True
            if not begin:
                break
        while self._idle_age is not None:
            step = self._slice(self._log.remove_idle, begin, self._idle_age)
            begin, removed = step or (0, [])
            if removed:
                self._call(self._forget, removed)
            yield True
            if not begin:
                break
        while self._slice(self._log.vacuum):
            yield True

    def _slice(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Do some work in a transaction of its own; None if that fails."""
        try:
            self._log.begin()
            result = work(*args, **kwargs)
            self._log.commit()
        except Exception as error:
            self._fail(error)
            return None
        self._recover()
        return result

    def _forget(self, channels: list[str]) -> None:
        for channel in channels:
            self._listener.forget(channel)

    def _fail(self, error: Exception) -> StoreUnavailable:
        """Roll back, and log a failure once, however long it lasts."""
        failed_before = self._failing
        if not isinstance(error, sqlite3.Error | StoreError):
            self._lines.note("store.write_failed", _traceback(error), time.monotonic())
        elif not self._failing:
            about: dict[str, object] = {"path": self._path, "error": str(error)}
            self._lines.note("store.write_failed", about, time.monotonic())
        self._failing = True
        try:
            self._log.rollback()
        except sqlite3.Error as second:
            if not failed_before:
                about = {"path": self._path, "error": str(second)}
                self._lines.note("store.rollback_failed", about, time.monotonic())
        return StoreUnavailable(f"The database cannot be written: {error}.", _reason(error))

    def _recover(self) -> None:
        if self._failing:
            self._failing = False
            self._lines.note("store.recovered", {"path": self._path}, time.monotonic())
        elif self._lines.due is not None:
            self._lines.expire(time.monotonic())

    def _call(self, function: Callable[[T], object], argument: T) -> None:
        try:
            self._loop.call_soon_threadsafe(function, argument)
        except RuntimeError:
            # The loop has ended without closing the store: there is no receiver any more.
            pass

    def __repr__(self) -> str:
        state = "open" if self._open else "closed"
        return f"<SqliteStore {self._path} {self._epoch} {state} {self._pending} pending>"


def _closed() -> StoreUnavailable:
    return StoreUnavailable("The store is closed.", "closed")


def _reason(error: Exception) -> str:
    """The word for an error of the database."""
    if isinstance(error, StoreError):
        return error.reason
    name = getattr(error, "sqlite_errorname", "")
    return next((word for prefix, word in _WORDS.items() if name.startswith(prefix)), "other")


def _log_line(event: str, about: dict[str, object], count: int) -> None:
    say = log.info if event == "store.recovered" else log.error
    say(event, **about, count=count)


def _traceback(error: Exception) -> dict[str, object]:
    """The log fields of an error in the code. They are text: the error would keep its frames."""
    return {"exception": "".join(traceback.format_exception(error))}
