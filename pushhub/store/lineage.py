"""Noticing that a database file is a restored copy.

A copy that is put back silently takes acknowledged events with it, and its offsets are given out a
second time. A reader's cursor would then point into another past, and nobody would notice. So the
log must get a new epoch, which turns every older cursor into a gap. What gives a restored copy away
cannot be in the copy: it is a counter beside it.

- The database holds a lineage (a random name) and counts its commits, in the same transaction as
  what it commits.
- The sidecar `<database>.lineage` holds both too, and is written after each commit.

At open the file is the one that was left if the lineage is the same and its count is **not behind**
the sidecar's:

- After a clean stop both are equal.
- kill -9 between commit and sidecar leaves the database ahead. So does a power cut, since the
  commit was forced to disk before the sidecar was even written; the sidecar itself need not be
  forced.
- An older copy is behind. So is a file whose disk lost a commit that it had confirmed; that is a
  loss as well.
- A copy in another place has no sidecar; a copy from before an earlier restore has another lineage.

In these last cases the epoch changes, and with it the lineage. A garbled sidecar counts as none:
an epoch too many costs readers a gap that is none, an epoch too few would cost them events without
a word.

What this cannot see: an older database that was put back *together with its sidecar*, as a
machine's snapshot does. Whoever restores one deletes the sidecar; backups leave it out.

The sidecar is also what the owning process locks.
"""

from __future__ import annotations

import fcntl
import os
import re
from dataclasses import dataclass

from pushhub.store.base import StoreError

SUFFIX = ".lineage"

# Of one length, so that it is replaced in place, within one sector.
_LINE = re.compile(rb"([0-9a-z]{1,32}) ([0-9]{20})\n")


@dataclass(frozen=True, slots=True)
class Mark:
    """A point in a log's life: after `commits` commits of the life `lineage`."""

    lineage: str
    commits: int

    def follows(self, other: Mark | None) -> bool:
        """Whether this is `other`, or a later point of the same life."""
        return other is not None and self.lineage == other.lineage and self.commits >= other.commits


class Sidecar:
    """The file beside the database, locked for this process until it is released.

    Raises:
        StoreError: another process has it, or it cannot be made.
    """

    def __init__(self, database: str) -> None:
        path = database + SUFFIX
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:
            raise StoreError(
                f"The folder of the database {database} does not exist; make it first."
            ) from None
        except OSError as error:
            raise StoreError(
                f"The database {database} cannot be used: {error.strerror} for {path}."
            ) from None
        self._path = path
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._fd)
            raise StoreError(
                f"The database {database} is in use by another process, and only one can own it. "
                "Stop that one, or run the workers on redis:// instead."
            ) from None

    def read(self) -> Mark | None:
        """What was written last; None if nothing was, or nothing legible."""
        found = _LINE.fullmatch(os.pread(self._fd, 100, 0))
        return Mark(found[1].decode(), int(found[2])) if found else None

    def write(self, mark: Mark) -> None:
        """Replace what was written; it survives this process, but perhaps not a power cut."""
        os.pwrite(self._fd, b"%s %020d\n" % (mark.lineage.encode(), mark.commits), 0)

    def force(self) -> None:
        """Make what was written survive a power cut."""
        os.fsync(self._fd)

    def release(self) -> None:
        """Unlock and close. One never written goes: a mistyped path leaves nothing behind."""
        if os.fstat(self._fd).st_size == 0:
            os.unlink(self._path)
        os.close(self._fd)
