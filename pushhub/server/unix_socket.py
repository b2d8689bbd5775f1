"""A Unix socket to listen on, with its permissions. The file of a dead server is replaced."""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# The address of all clients of a Unix socket: they are processes of this machine.
LOCAL_ADDRESS = "127.0.0.1"


class UnixSocket:
    """A socket file of this process. All workers accept from its one queue.

    Raises:
        OSError: the path cannot be used: another server listens there, another file has that path,
            or the folder cannot be written to.
    """

    def __init__(self, path: str, mode: str) -> None:
        self.path = Path(path).absolute()
        with _locked(self.path.parent):
            self._remove_stale()
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            permissions = int(mode, 8)
            # `bind` creates the file with its permissions: between `bind` and `chmod` all users
            # could connect.
            before = os.umask(0o777 & ~permissions)
            try:
                self.sock.bind(str(self.path))
            except BaseException:
                self.sock.close()
                raise
            finally:
                os.umask(before)
            # From now on a second server finds a listening one.
            self.sock.listen()
            self._file = _identity(self.path)

    def remove(self) -> None:
        """Remove the file, unless another server has put its own there."""
        if _identity(self.path) == self._file:
            self.path.unlink(missing_ok=True)

    def _remove_stale(self) -> None:
        """Remove the file of a dead server."""
        try:
            found = self.path.lstat()
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(found.st_mode):
            raise OSError(errno.EEXIST, "a file there is no socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            # A server with a full queue must not block the start.
            probe.settimeout(1)
            try:
                probe.connect(str(self.path))
            except (ConnectionRefusedError, FileNotFoundError):
                self.path.unlink(missing_ok=True)
                return
            except TimeoutError:
                pass
            raise OSError(errno.EADDRINUSE, "another server listens there")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """A lock against other servers that start in this folder: without it, one of two would remove
    the other's socket.
    """
    import fcntl

    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
