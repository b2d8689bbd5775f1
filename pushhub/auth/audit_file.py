"""A file that several processes append lines to."""

from __future__ import annotations

import os


class AuditFile:
    """Appends whole lines to a file, which only its owner may read.

    The file is opened for each line: lines are rare, a rotation by `rename` needs no signal, and
    one write with O_APPEND keeps the lines of several processes apart (POSIX write(2)).
    """

    __slots__ = ("_path",)

    def __init__(self, path: str) -> None:
        self._path = path

    def write(self, line: str) -> None:
        """Append a line.

        Raises:
            OSError: the file cannot be opened or written.
        """
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        descriptor = os.open(self._path, flags, 0o600)
        try:
            os.write(descriptor, line.encode("ascii") + b"\n")
        finally:
            os.close(descriptor)

    def __repr__(self) -> str:
        return f"<AuditFile {self._path}>"
