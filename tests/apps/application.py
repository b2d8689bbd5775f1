"""An application that this project did not write, and what its clients poll.

Each module of this folder describes one application: how to start the unmodified program, what its
clients poll, how it changes, and the routes lines that upgrade it.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import tomllib
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests import outside
from tests.ports import free_port
from tests.redis_servers import _die_with_parent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.apps.own_client import OwnClient

# An application of Java's size needs seconds to start; on a busy machine more.
START_SECONDS = 90.0
STOP_SECONDS = 5.0
# How often a process that starts is asked.
_PAUSE_SECONDS = 0.02
# Values of every response that differ between two moments or two connections.
ALWAYS_UNSTABLE = (r"(?im)^(date|connection|keep-alive): [^\r\n]*\r\n",)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an application runs: a folder of its own and a port of loopback."""

    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self, name: str) -> str:
        """The path of a command of the environment with the applications of PyPI."""
        return str(outside.FOLDER / "apps" / "bin" / name)

    @contextmanager
    def running(
        self, *command: str, env: Mapping[str, str] | None = None
    ) -> Iterator[subprocess.Popen[bytes]]:
        """A process, from the moment at which it accepts connections."""
        with (self.folder / "log.txt").open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**os.environ, "HOME": str(self.folder), **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_die_with_parent,
                start_new_session=True,
            )
        try:
            self.until(lambda: process.poll() is not None or accepts(self.port))
            assert process.poll() is None, f"{command[0]} ended:\n{self.log()}"
            yield process
        finally:
            end(process)

    def until(self, holds: Callable[[], object], seconds: float = START_SECONDS) -> None:
        """Wait until the application is in some state, which nothing announces."""
        last = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < last, f"not within {seconds:.0f} s:\n{self.log()}"
            time.sleep(_PAUSE_SECONDS)

    def log(self) -> str:
        return (self.folder / "log.txt").read_text(errors="replace")[-4000:]


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and the processes that it started, which are in a session of their own."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            continue
    process.wait(STOP_SECONDS)


@dataclass(frozen=True, slots=True)
class Poll:
    """A request that clients of an application repeat."""

    target: str
    change: Callable[[Place], None]
    """Changes the resource through the application's own API; returns when the change is there."""
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    name: str = ""
    """Tells several polls of one application apart."""

    @property
    def shown(self) -> str:
        """The poll in a table."""
        method = "" if self.method == "GET" else f"{self.method} "
        return f"`{method}{self.target}`"


@dataclass(frozen=True, slots=True)
class Application:
    """One application. `start` runs it for the time of the block."""

    name: str
    title: str
    server: str
    """What serves it, with its version, for the reader of the table."""
    part: str
    """The outside part that brings it."""
    start: Callable[[Place], AbstractContextManager[None]]
    polls: tuple[Poll, ...]
    routes: str
    """The lines for `pushhub.toml` that a user copies."""
    noticed: str
    """What counts as a change, and which change is found by what."""
    remark: str
    own_client: OwnClient
    """The client or user interface that the application brings, or that its users have."""
    paths: tuple[str, ...]
    """Requests whose responses are compared with and without pushhub."""
    unstable: tuple[str, ...] = ()
    """Patterns of what differs between two responses to the same request."""
    always_new: str = ""
    """A target of which each response is new, so that no client can wait for it."""
    long_quiet: bool = False
    """Whether the tests, and not only the script, wait for a change after a long silence."""

    @property
    def route_tables(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = tomllib.loads(self.routes)["routes"]
        return found

    @contextmanager
    def running(self, folder: Path) -> Iterator[Place]:
        """The application in a folder, on a free port; the test is skipped without its part."""
        outside.require(self.part)
        folder.mkdir(parents=True, exist_ok=True)
        place = Place(folder, free_port())
        with self.start(place):
            yield place


def node() -> str:
    """Node.js for the applications of npm."""
    return outside.require("node")
