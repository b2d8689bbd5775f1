"""Checks of a log in SQLite: its file, its folder and the disk."""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pushhub.doctor.finding import bad, ok, warn
from pushhub.store.base import StoreError
from pushhub.store.urls import sqlite_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pushhub.doctor.finding import Finding
    from pushhub.settings import Settings

MIB = 1024 * 1024
# The database has a write-ahead log of up to 64 MiB, and SQLite needs space for temporary files.
LEAST_FREE_BYTES = 128 * MIB
FEW_FREE_BYTES = 1024 * MIB
# An SSD with a cache that survives a power cut takes 0.1 ms, one without about 1, a disk about 10.
SLOW_FSYNC_SECONDS = 0.02
FSYNCS = 20


def examine(settings: Settings) -> Iterator[Finding]:
    """The findings about the file, its folder and its disk."""
    try:
        path = Path(os.path.realpath(sqlite_file(settings.store)))
    except StoreError as error:
        yield bad("store", str(error))
        return
    folder = path.parent
    if not folder.is_dir():
        yield bad("store", f"The folder {folder} does not exist; make it first.")
        return
    if not os.access(folder, os.W_OK | os.X_OK):
        yield bad(
            "store",
            f"The folder {folder} may not be written to by user {os.geteuid()}; SQLite keeps files "
            f"beside its own there.",
        )
        return
    yield _file(path)
    yield _free(folder)
    yield _fsync(folder)


def _file(path: Path) -> Finding:
    if not path.exists():
        return ok("store", f"{path} will be made at the first start.")
    if not path.is_file():
        return bad("store", f"{path} is no file; name a file in a folder.")
    if not os.access(path, os.R_OK | os.W_OK):
        return bad("store", f"{path} may not be read and written by user {os.geteuid()}.")
    files = [path, path.with_name(path.name + "-wal")]
    size = sum(file.stat().st_size for file in files if file.exists())
    return ok("store", f"The log in {path} takes {size / MIB:,.1f} MiB.")


def _free(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    sentence = f"{free / MIB:,.0f} MiB are free on the disk of {folder}"
    if free < LEAST_FREE_BYTES:
        return bad("disk", f"{sentence}: publishes will soon be refused. Make room.")
    if free < FEW_FREE_BYTES:
        return warn(
            "disk", f"{sentence}. Make room, or keep less (retention_events, retention_age)."
        )
    return ok("disk", f"{sentence}.")


def _fsync(folder: Path) -> Finding:
    """The time of an fsync of one page, measured with a temporary file."""
    page = bytes(4096)
    took = []
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            for _ in range(FSYNCS):
                begun = time.perf_counter()
                file.write(page)
                file.flush()
                os.fsync(file.fileno())
                took.append(time.perf_counter() - begun)
    except OSError as error:
        return bad("fsync", f"Nothing can be written in {folder}: {error.strerror}.")
    median = statistics.median(took)
    sentence = f"The disk of {folder} takes {median * 1000:.1f} ms to keep a page (fsync)"
    if median > SLOW_FSYNC_SECONDS:
        return warn(
            "fsync",
            f"{sentence}, and every publish waits for at least one: a faster disk makes them "
            "faster.",
        )
    return ok("fsync", f"{sentence}; a publish waits for about as long.")
