"""Noticing that a database file is not the one that was left.

A copy that is put back silently takes acknowledged events with it, and its offsets are given out a
second time. A reader's cursor would then point into another past, and nobody would notice. So the
log must get a new epoch, which turns every older cursor into a gap. What gives a restored copy away
cannot be in the copy: it is in a file beside it, and in what the file system knows of the file.

- The database holds a lineage (a random name) and counts its commits, in the same transaction as
  what it commits.
- The sidecar `<database>.lineage` holds both too, and the file's identity: inode, size, SQLite's
  change counter, and the time of the last change of the inode (ctime, which no program can set). It
  is written after each commit, and around each checkpoint, which alone changes the file.

At open the file is the one that was left if its identity is that of the sidecar, the lineage is the
same, and the count is **not behind** the sidecar's:

- After a clean stop all are equal.
- kill -9 between commit and sidecar leaves the database ahead. So does a power cut, since the
  commit was forced to disk before the sidecar was even written; the sidecar is forced around each
  checkpoint alone.
- kill -9 in a checkpoint leaves a sidecar that says so; then the inode alone must be the same.
- An older copy is behind. So is a file whose disk lost a commit that it had confirmed; that is a
  loss as well.
- An older copy that was put back *together with its sidecar* has another inode or another ctime.
- A copy in another place has no sidecar, or one of another inode; a copy from before an earlier
  restore has another lineage.

In all cases but the first three the epoch changes, and with it the lineage. A garbled sidecar
counts as none: an epoch too many costs readers a gap that is none, an epoch too few would lose
them events silently.

What this cannot see: a file system that was put back as a whole, as a machine's snapshot does, with
inodes and their times. The operator deletes the sidecar then (docs/backup.md).

Earlier versions lock the sidecar alone, so it is locked here, too; the lock that counts is on
the database (`sqlite_owner.py`), where no removal of a side file undoes it.
"""

from __future__ import annotations

import fcntl
import os
import re
from dataclasses import dataclass

from pushhub.store.base import StoreError

SUFFIX = ".lineage"

# The log has the secret of tickets, accounts and messages. SQLite gives its side files the mode of
# the database.
PRIVATE = 0o600

# Of one length, so that it is replaced in place, within one sector. The first line is all that
# earlier versions wrote.
_LINE = re.compile(
    rb"([0-9a-z]{1,32}) ([0-9]{20})\n"
    rb"(?:([ac]) ([0-9]{20}) ([0-9]{20}) ([0-9]{20}) ([0-9]{20})\n)?"
)


@dataclass(frozen=True, slots=True)
class Mark:
    """A point in a log's life: after `commits` commits of the life `lineage`."""

    lineage: str
    commits: int

    def follows(self, other: Mark | None) -> bool:
        """Whether this is `other`, or a later point of the same life."""
        return other is not None and self.lineage == other.lineage and self.commits >= other.commits


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """What tells a file from a copy of it. `changed` is the inode's ctime in nanoseconds, `counter`
    SQLite's change counter.

    `checkpointing`: noted before a checkpoint, after which all but the inode are others.
    """

    inode: int
    size: int
    changed: int
    counter: int
    checkpointing: bool = False

    def differs(self, left: FileIdentity) -> str:
        """Why this is not the file that was left; empty if it is."""
        if self.inode != left.inode:
            return "inode"
        if left.checkpointing:
            return ""
        if self.size != left.size:
            return "size"
        if self.counter != left.counter:
            return "change counter"
        return "ctime" if self.changed != left.changed else ""


@dataclass(frozen=True, slots=True)
class Left:
    """What a sidecar says. An earlier version noted no identity."""

    mark: Mark
    identity: FileIdentity | None


class Sidecar:
    """The file beside the database, locked for this process until it is released.

    Raises:
        StoreError: another process has it, or it cannot be made.
    """

    def __init__(self, database: str) -> None:
        path = database + SUFFIX
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE)
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
            raise in_use(database) from None

    def read(self) -> Left | None:
        """What was written last; None if nothing was, or nothing legible."""
        found = _LINE.fullmatch(os.pread(self._fd, 256, 0))
        if not found:
            return None
        mark = Mark(found[1].decode(), int(found[2]))
        if found[3] is None:
            return Left(mark, None)
        inode, size, changed, counter = (int(found[index]) for index in range(4, 8))
        return Left(mark, FileIdentity(inode, size, changed, counter, found[3] == b"c"))

    def write(self, mark: Mark, identity: FileIdentity) -> None:
        """Replace what was written; it survives this process, but perhaps not a power cut."""
        text = b"%s %020d\n%s %020d %020d %020d %020d\n" % (
            mark.lineage.encode(),
            mark.commits,
            b"c" if identity.checkpointing else b"a",
            identity.inode,
            identity.size,
            identity.changed,
            identity.counter,
        )
        os.pwrite(self._fd, text, 0)

    def force(self) -> None:
        """Make what was written survive a power cut."""
        os.fsync(self._fd)

    def release(self) -> None:
        """Unlock and close. One never written goes: a mistyped path leaves nothing behind."""
        if os.fstat(self._fd).st_size == 0 and os.path.exists(self._path):
            os.unlink(self._path)
        os.close(self._fd)


def in_use(database: str) -> StoreError:
    """The refusal of a second owner."""
    return StoreError(
        f"The database {database} is in use by another process, and only one can own it. "
        "Stop that one, or run the workers on redis:// instead."
    )
