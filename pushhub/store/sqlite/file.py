"""Opening the database: whose it is, whether we understand it, which life of the log it holds."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from importlib import resources

import structlog

from pushhub.store.base import StoreError
from pushhub.store.epoch import draw_epoch
from pushhub.store.sqlite.copy_guard import PRIVATE, SUFFIX, Left, Mark, Sidecar
from pushhub.store.sqlite.owner import Owner

SCHEMA = resources.files("pushhub.store.sqlite") / "schema.sql"
SCHEMA_VERSION = 2
# From the schema before each.
UPGRADES = {2: resources.files("pushhub.store.sqlite") / "upgrade_2.sql"}
APPLICATION_ID = 0x70757368

# How long to wait for a program that holds the database's lock, such as somebody's `sqlite3` shell.
BUSY_SECONDS = 5.0

# The write-ahead log is cut back to this after a burst, and readers pause for a moment where that
# takes it (`SqliteFile.checkpoint`). Another program that reads for long, such as a backup, keeps
# it growing meanwhile.
WAL_BYTES = 64 * 1024 * 1024

# The writer's page cache: the last page of some thousand channels' index.
CACHE_KIB = 16 * 1024

log = structlog.get_logger(__name__)


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
        self.reading = threading.Lock()
        """Held during a read, and by the writer when the write-ahead log is to begin again."""
        self.sidecar = Sidecar(path)
        try:
            self.owner = Owner(path)
        except BaseException:
            self.sidecar.release()
            raise
        opened: list[sqlite3.Connection] = []
        try:
            left = self.sidecar.read()
            differs = self._compare(left)
            self.writer = _connect(path)
            opened.append(self.writer)
            self._check()
            if differs == "sidecar" and _wal_size(path):
                _check_pages(path, self.writer)
            self._configure()
            self.epoch, self.mark = self._recognise(left, differs)
            self._narrow()
            self.note(self.mark)
            self.sidecar.force()
            self.reader = _connect(path)
            opened.append(self.reader)
            self.reader.execute("PRAGMA query_only = ON")
        except BaseException as error:
            for connection in opened:
                connection.close()
            self.owner.release()
            self.sidecar.release()
            if isinstance(error, sqlite3.Error):
                raise StoreError(sentence(path, error)) from None
            raise

    def close(self) -> None:
        """Write everything back into the one file and let go of it."""
        self.reader.close()
        self._announce_checkpoint()
        try:
            self.writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error:
            # What is committed is safe in the write-ahead log, which the next open reads.
            pass
        self.writer.close()
        self.note(self.mark)
        self.sidecar.force()
        self.owner.release()
        self.sidecar.release()

    def _narrow(self) -> None:
        """Take the files from the other users of the machine. Earlier versions made them readable
        for all; a mode that only the file's group shares is the operator's and stays.
        """
        names = (self.path, *(self.path + side for side in ("-wal", "-shm", SUFFIX)))
        wide = [name for name in names if _mode(name) & stat.S_IRWXO]
        if not wide:
            return
        # The mode changes the file's ctime. If the process dies now, only the inode is compared.
        self._announce_checkpoint()
        for name in wide:
            try:
                os.chmod(name, PRIVATE)
            except OSError as error:
                log.warning("store.readable", path=name, why=error.strerror)
            else:
                log.warning("store.narrowed", path=name, mode=f"{PRIVATE:04o}")

    def note(self, mark: Mark) -> None:
        """Write beside the database where its life stands, and which file it is.

        Raises:
            OSError: it cannot be written.
        """
        self.mark = mark
        self.sidecar.write(mark, self.owner.identity())

    def checkpoint(self) -> int:
        """Write the write-ahead log back into the file, as far as no reader needs it; on the writer
        thread, between transactions. Returns how many of its pages are left.

        Raises:
            OSError, sqlite3.Error: not possible now.
        """
        self._announce_checkpoint()
        try:
            _, pages, done = self.writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if _wal_size(self.path) > WAL_BYTES:
                # It begins again only at a moment without a reader, which one that is always busy
                # would not leave.
                with self.reading:
                    self.writer.execute("PRAGMA busy_timeout = 0")
                    try:
                        _, pages, done = self.writer.execute(
                            "PRAGMA wal_checkpoint(TRUNCATE)"
                        ).fetchone()
                    finally:
                        milliseconds = int(BUSY_SECONDS * 1000)
                        self.writer.execute(f"PRAGMA busy_timeout = {milliseconds}")
        finally:
            self.note(self.mark)
            self.sidecar.force()
        return max(0, int(pages) - int(done))

    def _announce_checkpoint(self) -> None:
        self.sidecar.write(self.mark, self.owner.identity(checkpointing=True))
        self.sidecar.force()

    def _compare(self, left: Left | None) -> str:
        """In what the file differs from the one that was left: empty if in nothing, `new` if there
        is none, `sidecar` if there is nothing to compare with.

        Raises:
            StoreError: a write-ahead log lies beside it that belongs to the one that was left.
        """
        if self.owner.empty:
            # SQLite removes the write-ahead log of an empty file.
            return "new"
        if left is None:
            return "sidecar"
        differs = "" if left.identity is None else self.owner.identity().differs(left.identity)
        if differs and _wal_size(self.path):
            raise StoreError(
                f"The database {self.path} is not the file that pushhub left there ({differs}), "
                f"and {self.path}-wal belongs to that one. If a backup was copied over it, remove "
                f"{self.path}-wal and {self.path}-shm. If the whole folder was moved or put back, "
                f"or only the file's owner or mode was changed, keep them: {self.path}-wal has "
                f"acknowledged events; remove {self.path}.lineage instead. Then start again."
            )
        return differs

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
                f"this one knows {SCHEMA_VERSION}); upgrade pushhub, or restore a backup of before."
            )
        else:
            for following in range(version + 1, SCHEMA_VERSION + 1):
                self.writer.executescript(UPGRADES[following].read_text())
                log.info("store.upgraded", path=self.path, schema=following)

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
        # `checkpoint` does it, which notes what it does.
        self.writer.execute("PRAGMA wal_autocheckpoint = 0")
        self.writer.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
        self.writer.execute(f"PRAGMA cache_size = -{CACHE_KIB}")

    def _recognise(self, left: Left | None, differs: str) -> tuple[str, Mark]:
        """The epoch and where its life stands; new ones if the file is new or restored."""
        epoch, lineage, commits = self.writer.execute(
            "SELECT epoch, lineage, commits FROM log"
        ).fetchone()
        mark = Mark(lineage, commits)
        if epoch and not differs and mark.follows(left.mark if left else None):
            return epoch, mark
        if differs != "new":
            log.warning(
                "store.epoch_changed",
                path=self.path,
                reason="backup" if not epoch else differs or "commits",
                effect="Readers receive a gap.",
            )
        epoch, mark = draw_epoch(), Mark(draw_epoch(), commits)
        # Before the sidecar: if we die between the two, the next open finds the sidecar of another
        # life, and does this again.
        self.writer.execute("UPDATE log SET epoch = ?, lineage = ?", (epoch, mark.lineage))
        force_folder(self.path)
        return epoch, mark


def _connect(path: str) -> sqlite3.Connection:
    return sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )


def _mode(path: str) -> int:
    """The permissions of a file; 0 if there is none."""
    try:
        return stat.S_IMODE(os.stat(path).st_mode)
    except OSError:
        return 0


def _wal_size(path: str) -> int:
    """The size of the write-ahead log; 0 if there is none."""
    try:
        return os.stat(path + "-wal").st_size
    except OSError:
        return 0


def _check_pages(path: str, connection: sqlite3.Connection) -> None:
    """See that a write-ahead log of which nothing is known fits the file."""
    (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if found != "ok":
        raise StoreError(
            f"The database {path} and {path}-wal do not belong together, or are damaged "
            f"({' '.join(found.split())}). Restore a backup: `pushhub store restore FILE`."
        )


def force_folder(path: str) -> None:
    """Make the names of the files in a folder survive a power cut."""
    folder = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def sentence(path: str, error: sqlite3.Error) -> str:
    """The sentence for the operator about an error of SQLite."""
    match getattr(error, "sqlite_errorname", ""):
        case "SQLITE_NOTADB" | "SQLITE_CORRUPT":
            return (
                f"The file {path} is no SQLite database, or a damaged one; "
                "name another, or restore a copy."
            )
        case "SQLITE_BUSY":
            return f"The database {path} is locked by another program; end that first."
    return f"The database {path} cannot be used: {error}."
