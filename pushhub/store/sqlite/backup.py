"""Backup, restore and check of a database file. They need no event loop, and no hub.

A backup is one snapshot of the log, made while events come. It has no epoch of its own: the
hub that opens it draws a new one, so readers receive a gap instead of missing the events after the
backup.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from pushhub.store.base import StoreError
from pushhub.store.sqlite.copy_guard import PRIVATE, SUFFIX, Sidecar
from pushhub.store.sqlite.file import (
    APPLICATION_ID,
    BUSY_SECONDS,
    SCHEMA_VERSION,
    SqliteFile,
    force_folder,
    sentence,
)
from pushhub.store.sqlite.owner import Owner

# What SQLite keeps beside a database.
SIDES = ("-wal", "-shm")
# The name that a restore gives to the former database.
BEFORE = ".before-{}"


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The result of a check; `faults` are sentences, empty without a fault."""

    path: str
    schema: int
    channels: int
    events: int
    bytes: int
    free_bytes: int
    faults: tuple[str, ...]


def backup(path: str, target: str, *, replace: bool = False) -> CheckReport:
    """Copy the log at `path` to a new file, while a hub may write it. The copy is checked, forced
    to disk, and has its name only then.

    Raises:
        StoreError: the backup failed; the sentence says why.
    """
    _insist_on_file(path)
    if os.path.exists(target) and not replace:
        raise StoreError(f"{target} exists; name another file, or add --replace.")
    if os.path.realpath(target) == os.path.realpath(path):
        raise StoreError("The backup must not be the database itself.")
    part = target + ".part"
    try:
        _remove(part)
        _copy(path, part)
        report = check(part)
        if report.faults:
            raise StoreError(f"The database {path} is damaged: {report.faults[0]}")
        _force(part)
        os.replace(part, target)
        force_folder(os.path.realpath(target))
    except OSError as error:
        raise StoreError(f"The backup {target} cannot be written: {error.strerror}.") from None
    except sqlite3.Error as error:
        raise StoreError(sentence(path, error)) from None
    finally:
        _remove(part)
    return report


def _copy(path: str, part: str) -> None:
    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE))
    with (
        closing(_connect(path)) as source,
        closing(sqlite3.connect(part, isolation_level=None)) as copy,
    ):
        _insist_on_log(path, source)
        # In one step: a copy in several begins again whenever the hub commits.
        source.backup(copy)
        # No side files: a backup is one file.
        copy.execute("PRAGMA journal_mode = DELETE")
        copy.execute("UPDATE log SET epoch = '', lineage = ''")


def restore(path: str, source: str) -> str:
    """Put a backup in the place of the log at `path`; no hub may run on it. Returns where the
    former log is now, empty if there was none.

    Raises:
        StoreError: it cannot be done, and nothing was changed.
    """
    path = os.path.realpath(path)
    report = check(source)
    if report.faults:
        raise StoreError(f"The backup {source} is damaged: {report.faults[0]}")
    if os.path.realpath(source) == path:
        raise StoreError("The backup is the database itself; name another file.")
    sidecar = Sidecar(path)
    try:
        owner = Owner(path)
        try:
            return _put(path, source, is_new=owner.empty)
        finally:
            owner.release()
    except OSError as error:
        raise StoreError(f"The backup cannot be put at {path}: {error.strerror}.") from None
    except sqlite3.Error as error:
        raise StoreError(sentence(source, error)) from None
    finally:
        sidecar.release()


def _put(path: str, source: str, *, is_new: bool) -> str:
    part = path + ".part"
    _remove(part)
    try:
        # By SQLite, not byte by byte: the source may be a database with a write-ahead log of its
        # own.
        _copy(source, part)
        _force(part)
        former = "" if is_new else _set_aside(path)
        os.replace(part, path)
    finally:
        _remove(part)
    _remove(path + SUFFIX)
    force_folder(path)
    return former


def _set_aside(path: str) -> str:
    """Rename the database and what belongs to it; its new name."""
    number = 1
    while os.path.exists(former := path + BEFORE.format(number)):
        number += 1
    for side in SIDES:
        if os.path.exists(path + side):
            os.replace(path + side, former + side)
    # A hard link first: at no moment is there no database.
    os.link(path, former)
    return former


def compact(path: str) -> tuple[int, int]:
    """Rewrite the log at `path` without its free pages, and so that it gives pages back by itself
    from now on; no hub may run on it. Returns its size before and after.

    Raises:
        StoreError: it cannot be done, and nothing was changed.
    """
    path = os.path.realpath(path)
    _insist_on_file(path)
    before = os.path.getsize(path)
    # As the hub opens it: what is rewritten here is still the file that was left.
    file = SqliteFile(path)
    try:
        file.checkpoint()
        file.writer.execute("PRAGMA auto_vacuum = INCREMENTAL")
        file.writer.execute("VACUUM")
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"The database {path} cannot be rewritten: {error}.") from None
    finally:
        file.close()
    return before, os.path.getsize(path)


def check(path: str) -> CheckReport:
    """Check every page and every channel of a log, while a hub may write it.

    Raises:
        StoreError: it is no log, or cannot be read.
    """
    _insist_on_file(path)
    try:
        with closing(_connect(path)) as connection:
            schema = _insist_on_log(path, connection)
            connection.execute("BEGIN")
            faults = [f"{row[0]}." for row in connection.execute("PRAGMA integrity_check(20)")]
            if faults == ["ok."]:
                faults = list(_gaps(connection))
            (channels,) = connection.execute(
                "SELECT count(*) FROM channels WHERE oldest <= top"
            ).fetchone()
            (events,) = connection.execute("SELECT count(*) FROM events").fetchone()
            (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
            (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    except sqlite3.Error as error:
        raise StoreError(sentence(path, error)) from None
    return CheckReport(
        path, schema, channels, events, pages * page_bytes, free * page_bytes, tuple(faults)
    )


def _gaps(connection: sqlite3.Connection) -> list[str]:
    """Channels whose events are not exactly those from its oldest to its last."""
    rows = connection.execute(
        """
        SELECT name, oldest, top, count(offset), min(offset), max(offset)
        FROM channels LEFT JOIN events ON channel = channels.id GROUP BY channels.id
        HAVING count(offset) != max(0, top - oldest + 1)
            OR (count(offset) > 0 AND (min(offset) != oldest OR max(offset) != top)) LIMIT 20
        """
    )
    return [
        f"Channel {name!r} should have the events {oldest} to {top}, and has {count} ({first} to "
        f"{last})."
        for name, oldest, top, count, first, last in rows
    ]


def _connect(path: str) -> sqlite3.Connection:
    """A connection that cannot change the log: not by a checkpoint as it closes, either."""
    return sqlite3.connect(
        f"file:{quote(os.path.realpath(path))}?mode=ro",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
    )


def _insist_on_file(path: str) -> None:
    if not os.path.isfile(path):
        raise StoreError(f"There is no database {path}.")


def _insist_on_log(path: str, connection: sqlite3.Connection) -> int:
    """The schema version of a log."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise StoreError(f"The file {path} is no database of pushhub.")
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"The database {path} was written by a newer pushhub (schema {version}, this one knows "
            f"{SCHEMA_VERSION}); upgrade pushhub."
        )
    return int(version)


def _force(path: str) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _remove(path: str) -> None:
    for name in (path, *(path + side for side in (*SIDES, "-journal"))):
        Path(name).unlink(missing_ok=True)
