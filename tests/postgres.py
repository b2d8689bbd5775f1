"""A real PostgreSQL server, a process on a free port with a folder of its own.

PostgreSQL refuses to run as root, so root starts it as the user `postgres` of Debian's package.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from tests import outside
from tests.ports import free_port
from tests.waiting import block_until

_START_SECONDS = 30.0


class PostgresServer:
    """A server, from `start` to `stop`; its data outlive both."""

    def __init__(self, folder: Path) -> None:
        self._binary = Path(outside.require("postgresql"))
        self._folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes]
        # As a fresh user the server owns its folder.
        self._user: dict[str, Any] = {}
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            self._user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            os.chown(folder, user.pw_uid, user.pw_gid)
        subprocess.run(
            [self._binary.with_name("initdb"), "-D", folder / "data", "-U", "postgres", "-A",
             "trust", "-E", "UTF8", "--locale=C", "--no-sync"],
            check=True, capture_output=True, cwd=folder, timeout=100, **self._user,
        )  # fmt: skip

    @property
    def dsn(self) -> str:
        return f"host=127.0.0.1 port={self.port} dbname=postgres user=postgres"

    def start(self) -> None:
        self._process = subprocess.Popen(
            [self._binary, "-D", self._folder / "data", "-p", str(self.port), "-k", self._folder,
             "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self._folder, **self._user,
        )  # fmt: skip
        block_until(self._serves, _START_SECONDS)

    def _serves(self) -> bool:
        try:
            self.run("SELECT 1")
        except psycopg.OperationalError:
            assert self._process.poll() is None, "the server ended"
            return False
        return True

    def stop(self) -> None:
        """End the server, and every session (a "fast shutdown")."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(30)

    def run(self, sql: str) -> list[tuple[Any, ...]]:
        """Run statements in a session of their own; the rows of the last."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            while cursor.nextset():
                pass
            return cursor.fetchall() if cursor.description else []


@contextmanager
def postgres() -> Iterator[PostgresServer]:
    """A server that serves."""
    folder = Path(tempfile.mkdtemp(prefix="pushhub-postgres-"))
    try:
        server = PostgresServer(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
