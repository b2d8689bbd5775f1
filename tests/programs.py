"""Proxies and servers of others that tests start: one runner, and the lines of nginx that depend on
the machine.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

START_SECONDS = 30.0
STOP_SECONDS = 20.0


def nginx_folders(folder: Path) -> str:
    """The lines of `http` that move nginx' temporary files: the compiled-in folders are root's."""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return " ".join(f"{kind}_temp_path {folder}/nginx-{kind};" for kind in kinds)


def nginx_user() -> str:
    """The line that lets nginx' workers use a folder of the tests: started as root, they would run
    as another user.
    """
    return "user root;" if os.geteuid() == 0 else ""


@contextmanager
def run(
    commands: Sequence[Sequence[str]],
    ports: Sequence[int],
    log: Path,
    environment: Mapping[str, str] | None = None,
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Programs that run in the foreground, as soon as all their ports accept connections."""
    processes: list[subprocess.Popen[bytes]] = []
    try:
        with log.open("wb") as sink:
            for command in commands:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=sink,
                    stderr=sink,
                    env=os.environ | (environment or {}),
                )
                processes.append(process)
        for port in ports:
            _until_listening(port, processes, log)
        yield processes
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _until_listening(port: int, processes: list[subprocess.Popen[bytes]], log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            said = log.read_text(errors="replace")
            assert all(process.poll() is None for process in processes), said
            assert time.monotonic() < end, said
            time.sleep(0.02)
