"""Opening the database: whose it is, whether we understand it, which life of the log it holds."""

from __future__ import annotations

import os
import sqlite3
from importlib import resources

from pushhub.store.base import StoreError
from pushhub.store.identity import draw_epoch
from pushhub.store.lineage import Mark, Sidecar

SCHEMA = resources.files("pushhub.store") / "sqlite_schema.sql"
SCHEMA_VERSION = 1
APPLICATION_ID = 0x70757368

# How long to wait for a program that holds the database's lock, such as somebody's `sqlite3` shell.
BUSY_SECONDS = 5.0

# When the write-ahead log is written back into the file: 16 MiB of pages. SQLite's 1,000 pages hold
# a few dozen commits to as many channels, which then write the same pages again and again.
CHECKPOINT_PAGES = 4000

# The write-ahead log is cut back to this after a burst.
WAL_BYTES = 64 * 1024 * 1024

# The writer's page cache: the last page of some thousand channels' index.
CACHE_KIB = 16 * 1024


class SqliteFile:
    """The open database: a connection that writes, one that reads, the sidecar, and the epoch.

    The connections may be used by any thread, but each by one at a time.

    Raises:
        StoreError: it cannot be opened; the sentence says what to do.
    """

    def __init__(self, path: str) -> None:
        # Two names of one file must meet at one sidecar.
        path = os.path.realpath(path)
        if os.path.isdir(path):
            raise StoreError(f"The database {path} is a folder; name a file in it.")
        self.path = path
        self.sidecar = Sidecar(path)
        opened: list[sqlite3.Connection] = []
        try:
            self.writer = _connect(path)
            opened.append(self.writer)
            self._check()
            self._configure()
            self.epoch, self.mark = self._recognise()
            self.reader = _connect(path)
            opened.append(self.reader)
            self.reader.execute("PRAGMA query_only = ON")
        except BaseException as error:
            for connection in opened:
                connection.close()
            self.sidecar.release()
            if isinstance(error, sqlite3.Error):
                raise StoreError(_sentence(path, error)) from None
            raise

    def close(self) -> None:
        """Write everything back into the one file and let go of it."""
        self.reader.close()
        try:
            self.writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error:
            # What is committed is safe in the write-ahead log, which the next open reads.
            pass
        self.writer.close()
        self.sidecar.force()
        self.sidecar.release()

    def _check(self) -> None:
        """Make the schema in an empty file; refuse, and leave alone, a file that is not ours."""
        (application,) = self.writer.execute("PRAGMA application_id").fetchone()
        (version,) = self.writer.execute("PRAGMA user_version").fetchone()
        (tables,) = self.writer.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if not (application or version or tables):
            self.writer.executescript(SCHEMA.read_text())
        elif application != APPLICATION_ID:
            raise StoreError(
                f"The database {self.path} belongs to another program; name another file."
            )
        elif version > SCHEMA_VERSION:
            raise StoreError(
                f"The database {self.path} was written by a newer pushhub (schema {version}, "
                f"this one knows {SCHEMA_VERSION}); upgrade pushhub."
            )

    def _configure(self) -> None:
        (mode,) = self.writer.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise StoreError(
                f"The database {self.path} cannot have a write-ahead log where it is; "
                "put it on a local disk."
            )
        # SQLite opens a file that it may only read without a word, and fails at the first change.
        self.writer.execute("BEGIN IMMEDIATE")
        self.writer.execute("UPDATE log SET commits = commits")
        self.writer.execute("ROLLBACK")
        self.writer.execute("PRAGMA synchronous = FULL")
        self.writer.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        self.writer.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
        self.writer.execute(f"PRAGMA cache_size = -{CACHE_KIB}")

    def _recognise(self) -> tuple[str, Mark]:
        """The epoch and where its life stands; new ones if the file is new or restored."""
        epoch, lineage, commits = self.writer.execute(
            "SELECT epoch, lineage, commits FROM log"
        ).fetchone()
        mark = Mark(lineage, commits)
        if epoch and mark.follows(self.sidecar.read()):
            return epoch, mark
        epoch, mark = draw_epoch(), Mark(draw_epoch(), commits)
        self.writer.execute("UPDATE log SET epoch = ?, lineage = ?", (epoch, mark.lineage))
        # After the database: if we die between the two, the next open finds the sidecar of another
        # life, and does this again.
        self.sidecar.write(mark)
        self.sidecar.force()
        _force_folder(self.path)
        return epoch, mark


def _connect(path: str) -> sqlite3.Connection:
    return sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )


def _force_folder(path: str) -> None:
    """Make the names of the files in a folder survive a power cut."""
    folder = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _sentence(path: str, error: sqlite3.Error) -> str:
    match getattr(error, "sqlite_errorname", ""):
        case "SQLITE_NOTADB" | "SQLITE_CORRUPT":
            return (
                f"The file {path} is no SQLite database, or a damaged one; "
                "name another, or restore a copy."
            )
        case "SQLITE_BUSY":
            return f"The database {path} is locked by another program; end that first."
    return f"The database {path} cannot be used: {error}."
