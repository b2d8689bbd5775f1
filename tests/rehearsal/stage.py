"""The site: Redis with Sentinel, two hubs of two workers, an origin, and a proxy in front."""

from __future__ import annotations

import asyncio
import dataclasses
import mmap
import os
import shlex
import signal
import struct
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jwt

from pushhub.auth.api_keys import new_secret, secret_hash
from tests.deploy.proxies import PROXIES, Certificate, RunningProxy, run_proxy
from tests.faults.nodes import Node
from tests.mixed import unpack_package
from tests.ports import free_port
from tests.redis_servers import KINDS, Kind, Rack, RedisServer
from tests.rehearsal.line import PREFIX

if TYPE_CHECKING:
    from tests.rehearsal.diary import Diary

SECRET = new_secret()
TOKEN_KEY = "a key of the rehearsal that signs the tokens of clients"
DISK_BYTES = 64 << 20
# A pause of the clients (`CLIENT PAUSE`) is shorter, so that Sentinel does nothing meanwhile.
DOWN_AFTER_MS = 5000
# In the hubs' path: `time.time` of the process has the offset that a file says.
CLOCK = """\
import mmap, os, struct, time
with open(os.environ["REHEARSAL_CLOCK"], "rb") as file:
    _offset = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)
_true = time.time
time.time = lambda: _true() + struct.unpack("d", _offset)[0]
"""


class Hub(Node):
    """A hub whose clock and version the rehearsal can change."""

    # On a busy machine, beside all clients.
    start_seconds = 240.0

    def __init__(self, folder: Path, store: str, **settings: Any) -> None:
        super().__init__(store, **settings)
        self.path = folder / f"hub-{self.port}"
        self.path.mkdir()
        (self.path / "sitecustomize.py").write_text(CLOCK)
        self._clock = self.path / "offset"
        self._clock.write_bytes(struct.pack("d", 0.0))
        self._environ["REHEARSAL_CLOCK"] = str(self._clock)
        self.version("")

    def version(self, folder: str) -> None:
        """From the next start on: the package of this folder; empty for this tree's own."""
        self._environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(self.path), folder]))

    def step(self, seconds: float) -> None:
        """Set the wall clock of all its processes."""
        with self._clock.open("r+b") as file, mmap.mmap(file.fileno(), 8) as offset:
            offset[:] = struct.pack("d", seconds)

    async def leave(self) -> None:
        """SIGTERM: it drains, and ends well. Its log may have errors that a fault caused."""
        server = self._take()
        server.signal()
        status = await server.left(60)
        assert status in (0, -signal.SIGTERM), f"{status}: {server.output}"

    async def fails_to_start(self, seconds: float = 60.0, **changes: str) -> int:
        """The status with which it ends when these variables are wrong."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "pushhub", "serve", "--port", str(self.port)),
            cwd=self.path,
            env=self._environ | changes,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            return await asyncio.wait_for(process.wait(), seconds)
        except TimeoutError:
            # An operator's deadline: it neither serves nor ends.
            process.terminate()
            return await process.wait()

    async def serving(self, seconds: float = 60.0) -> None:
        """Wait until it is ready."""
        end = time.monotonic() + seconds
        while True:
            try:
                if (await self.get("/_pushhub/readyz")).status == 200:
                    return
            except (OSError, AssertionError):
                pass
            assert time.monotonic() < end, f"{self} is not ready"
            await asyncio.sleep(0.05)

    def quiet_close(self) -> None:
        """End it, whatever its log says."""
        try:
            self.close()
        except AssertionError:
            pass


class Stage:
    """The site of one run."""

    def __init__(self, diary: Diary, *, proxy: str, before: str, seconds: float) -> None:
        self.diary = diary
        self.seconds = seconds
        """The time that a fault lasts, where the rehearsal decides that."""
        self.rack = Rack()
        self.redis: list[RedisServer] = []
        self.sentinels: list[RedisServer] = []
        self.hubs: list[Hub] = []
        self.before = ""
        self.small_disks = _can_mount()
        self._stack = ExitStack()
        self._stack.callback(self.rack.close)
        name = tempfile.TemporaryDirectory(prefix="pushhub-rehearsal-", ignore_cleanup_errors=True)
        self.folder = Path(self._stack.enter_context(name))
        self._kind = PROXIES[proxy]
        if proxy == "haproxy":
            # The hubs have an origin, so their pages are under a prefix: deploy/proxies/README.md.
            own = {"maxconn 100000": "maxconn 9000", "uri /readyz": f"uri {PREFIX}/readyz"}
            changes = {**self._kind.changes, **own}
            self._kind = dataclasses.replace(self._kind, changes=changes)
        self._commit = before

    async def start(self) -> RunningProxy:
        """Start everything; the proxy."""
        url = await asyncio.to_thread(self._start_redis)
        port = free_port()
        self._start_origin(port)
        self.before = await asyncio.to_thread(self._unpack)
        for _ in range(2):
            hub = Hub(self.folder, url, **settings(port))
            self._stack.callback(hub.quiet_close)
            self.hubs.append(hub)
            hub.version(self.before)
        await asyncio.gather(*(hub.start() for hub in self.hubs))
        for hub in self.hubs:
            await hub.serving()
        tls = Certificate(self.folder).tls
        ports = (self.hubs[0].port, self.hubs[1].port)
        proxy = run_proxy(self._kind, self.folder, tls, ports, prefix=PREFIX)
        return self._stack.enter_context(proxy)

    def _start_origin(self, port: int) -> None:
        origin = subprocess.Popen(
            [sys.executable, "-m", "tests.rehearsal.origin", str(port)], stdin=subprocess.DEVNULL
        )
        self._stack.callback(_end, origin)

    def _unpack(self) -> str:
        if not self._commit:
            return ""
        folder = self.folder / "before"
        folder.mkdir()
        unpack_package(self._commit, str(folder))
        return str(folder)

    def _start_redis(self) -> str:
        a, *others = [self._start_server(number) for number in range(3)]
        for b in others:
            b.follow(a)
        for b in others:
            b.until(partial(b.caught_up_with, a))
        self.sentinels = [self.rack.start(KINDS["valkey9"], sentinel=True) for _ in range(3)]
        for sentinel in self.sentinels:
            sentinel.ask("SENTINEL", "MONITOR", "main", "127.0.0.1", a.port, 2)
            sentinel.ask("SENTINEL", "SET", "main", "down-after-milliseconds", DOWN_AFTER_MS)
            sentinel.ask("SENTINEL", "SET", "main", "failover-timeout", 10_000)
        self.sentinels[0].until(lambda: all(map(_knows_all, self.sentinels)))
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/main/0"

    def _start_server(self, number: int) -> RedisServer:
        kind = KINDS["valkey9"]
        options = {"appendonly": "yes", "appendfsync": "everysec"}
        if self.small_disks:
            disk = self.rack.folder / f"disk{number}"
            disk.mkdir()
            kind = Kind("valkey9", lambda: str(_with_small_disk(self.rack.folder, disk)))
            options["dir"] = str(disk)
        server = self.rack.start(kind, sentinel=False, **options)
        self.redis.append(server)
        return server

    def master(self) -> RedisServer:
        """The master, as the first sentinel has it."""
        port = int(self.sentinels[0].ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main")[1])
        return next(server for server in self.redis if server.port == port)

    def disk(self, server: RedisServer) -> Path:
        """The small disk of a server, which only its own mount namespace has."""
        assert server.process
        folder = self.rack.folder / f"disk{self.redis.index(server)}"
        return Path(f"/proc/{server.process.pid}/root") / folder.relative_to("/")

    def close(self) -> None:
        """End every process of the site."""
        self._stack.close()


def settings(origin: int) -> dict[str, Any]:
    """The settings of both hubs."""
    return {
        "dev": False,
        "public": True,
        "workers": 2,
        "drain_seconds": 3,
        "metrics_public": True,
        "xmpp_domains": ["localhost"],
        "xmpp_anonymous": True,
        "origin": f"http://127.0.0.1:{origin}",
        "routes": [{"path": "/orders/{id}", "step": "notify", "notify_writes": True}],
        "api_keys": [
            {
                "name": "backend",
                "sha256": secret_hash(SECRET),
                "publish": ["*"],
            }
        ],
        # Far below the default, so that an abuser on a busy machine meets it.
        "limits": {"subject-requests": {"rate": 20, "burst": 40}},
        "token_keys": [{"algorithm": "HS256", "key": TOKEN_KEY}],
    }


def abusers_token() -> str:
    """A token with a subject, which the limits count."""
    rights = {"read": ["abuse:*"], "publish": ["abuse:*"]}
    claims = {"sub": "abuser", "exp": int(time.time()) + 86_400, "pushhub": rights}
    return jwt.encode(claims, TOKEN_KEY, "HS256")


def _knows_all(sentinel: RedisServer) -> bool:
    master = sentinel.info("sentinel")["master0"]
    return bool(master["slaves"] == 2 and master["sentinels"] == 3)


def _unshare() -> list[str]:
    return ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-r", "-m"]


def _can_mount() -> bool:
    """Whether a process of ours may have a small disk in a mount namespace of its own."""
    command = [*_unshare(), "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", "/mnt"]
    try:
        return subprocess.run(command, capture_output=True, timeout=10).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _with_small_disk(folder: Path, disk: Path) -> Path:
    """A script that starts a server with a tmpfs as its disk. No other process sees the mount, and
    it ends with the server."""
    binary = shlex.quote(KINDS["valkey9"].binary())
    inner = (
        f"mount -t tmpfs -o size={DISK_BYTES} tmpfs {shlex.quote(str(disk))}"
        f' && exec -a redis-server {binary} "$@"'
    )
    script = folder / f"{disk.name}.sh"
    command = shlex.join([*_unshare(), "bash", "-c", inner, "bash"])
    script.write_text(f'#!/bin/bash\nexec {command} "$@"\n')
    script.chmod(0o755)
    return script


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def environment() -> dict[str, Any]:
    """The machine, for the report."""
    return {"cores": os.cpu_count(), "load": os.getloadavg()[0], "python": sys.version.split()[0]}
