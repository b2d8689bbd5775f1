"""The one owner of a database file: a lock on the file itself, and the file's identity.

SQLite's own locks let many processes in. This one is a lock on a byte of the database file, far
behind those that SQLite uses. It belongs to an open file description (OFD, Linux), so neither
SQLite's unlocking nor a closed copy of the descriptor drops it, and no side file is needed:
removing one changes nothing.

POSIX drops all of SQLite's own locks when the process closes *any* descriptor of the file. So the
descriptor here is closed after SQLite's, and a second owner in the same process is refused before a
descriptor is opened.
"""

from __future__ import annotations

import fcntl
import os
import struct

from pushhub.store.base import StoreError, StoreUnavailable
from pushhub.store.sqlite.copy_guard import PRIVATE, FileIdentity, in_use

# SQLite's lock bytes lie at 2^30 (os.h, PENDING_BYTE), and a file has at most 2^48 bytes.
LOCK_BYTE = 1 << 60
# Of struct flock: type, whence, start, length, pid.
_FLOCK = "hh4xqqi4x"
# Where a database's header has its change counter (fileformat2.html §1.3).
_COUNTER_AT = 24

# Device and inode of the files that this process owns.
_owned: set[tuple[int, int]] = set()


class Owner:
    """The database file, opened and locked for this process until it is released. A missing file is
    made, and goes again if it is still empty then.

    Raises:
        StoreError: another owner has it, or it cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            there = os.stat(path)
            if (there.st_dev, there.st_ino) in _owned:
                raise in_use(path)
        except FileNotFoundError:
            pass
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE)
        except OSError as error:
            raise StoreError(f"The database {path} cannot be used: {error.strerror}.") from None
        opened = os.fstat(self._fd)
        self._key = (opened.st_dev, opened.st_ino)
        try:
            self._lock()
        except OSError:
            os.close(self._fd)
            raise in_use(path) from None
        _owned.add(self._key)

    def _lock(self) -> None:
        # Elsewhere the lock of the sidecar has to do.
        if hasattr(fcntl, "F_OFD_SETLK"):
            lock = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, LOCK_BYTE, 1, 0)
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, lock)

    def identity(self, *, checkpointing: bool = False) -> FileIdentity:
        """What the file system and the header say of the file now."""
        stat = os.fstat(self._fd)
        header = os.pread(self._fd, 4, _COUNTER_AT)
        return FileIdentity(
            stat.st_ino, stat.st_size, stat.st_ctime_ns, int.from_bytes(header), checkpointing
        )

    def check_place(self) -> None:
        """See that the file is still what its name stands for.

        Raises:
            StoreUnavailable: it was removed or replaced. What is written to it now is lost when the
                process ends.
        """
        try:
            there = os.stat(self.path)
        except OSError:
            there = None
        if there is None or (there.st_dev, there.st_ino) != self._key:
            raise StoreUnavailable(
                f"the file {self.path} was removed or replaced while pushhub ran; start pushhub "
                "again to use what is there now",
                "replaced",
            )

    @property
    def empty(self) -> bool:
        """Whether nothing has been written to the file."""
        return os.fstat(self._fd).st_size == 0

    def release(self) -> None:
        """Unlock and close; only after SQLite has closed the file."""
        try:
            if self.empty:
                self.check_place()
                os.unlink(self.path)
        except StoreUnavailable:
            pass  # The name is another file's by now.
        finally:
            os.close(self._fd)
            _owned.discard(self._key)
