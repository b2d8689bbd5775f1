"""Several processes on one address: each has its own loop and its own subscriptions, and Redis is
what they share.

The supervisor binds a socket for each worker (SO_REUSEPORT), so that each has a queue of its own,
and keeps them open: what arrives while a worker is being restarted waits in its queue.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
import socket
import sys
import tempfile
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from pushhub import log as logs
from pushhub.server.banner import banner
from pushhub.server.peers import Peers
from pushhub.server.serving import GRACE_SECONDS, Server
from pushhub.store.base import StoreError
from pushhub.web.app import create_app

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess
    from types import FrameType

    from pushhub.settings import Settings

log = structlog.get_logger(__name__)

# A worker that dies this soon after its start will do so again; then the pause before the next
# attempt doubles.
YOUNG_SECONDS = 5.0
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
# How often the supervisor looks whether it was told to leave.
TICK_SECONDS = 0.1

READY = "ready"


@dataclass(slots=True)
class Worker:
    """One of the processes: where it listens, how it says that it is ready, and how it fared."""

    index: int
    socket: socket.socket
    process: SpawnProcess
    line: Connection
    started: float
    pause: float = FIRST_PAUSE
    ready: bool = False


class Supervisor:
    """Starts the workers, starts those anew that die, and sees them out."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._context = multiprocessing.get_context("spawn")
        self._sockets = bind(settings.host, settings.port, settings.workers)
        self._workers: list[Worker] = []
        self._signals = 0

    def run(self) -> int:
        """Serve until a signal comes. Returns the exit status: 1 if the workers could not start."""
        with tempfile.TemporaryDirectory(prefix="pushhub-") as folder:
            for signum in (signal.SIGTERM, signal.SIGINT):
                signal.signal(signum, self._told)
            self._workers = [
                self._start(index, sock, Path(folder)) for index, sock in enumerate(self._sockets)
            ]
            try:
                status = self._supervise(Path(folder))
            finally:
                self._see_out()
        return status

    def _told(self, signum: int, frame: FrameType | None) -> None:
        self._signals += 1

    def _start(self, index: int, sock: socket.socket, folder: Path) -> Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=work, args=(self._settings, sock, theirs, folder, index), name=f"worker-{index}"
        )
        process.start()
        theirs.close()
        return Worker(index, sock, process, ours, time.monotonic())

    def _supervise(self, folder: Path) -> int:
        announced = False
        while not self._signals:
            wait([worker.process.sentinel for worker in self._workers], timeout=TICK_SECONDS)
            for position, worker in enumerate(self._workers):
                if not worker.ready and worker.process.is_alive() and worker.line.poll():
                    worker.ready = _hear(worker.line) == READY
                if not worker.process.is_alive() and not self._signals:
                    if not announced:
                        log.error("workers.failed", hint="the first worker's message says why")
                        return 1
                    self._workers[position] = self._again(worker, folder)
            if not announced and all(worker.ready for worker in self._workers):
                announced = True
                sys.stdout.write(banner(self._settings, self._sockets[0].getsockname()[1]))
                sys.stdout.flush()
        return 0

    def _again(self, worker: Worker, folder: Path) -> Worker:
        status = worker.process.exitcode
        log.warning("worker.died", worker=worker.index, status=status)
        worker.line.close()
        young = time.monotonic() - worker.started < YOUNG_SECONDS
        if young:
            time.sleep(worker.pause)
        fresh = self._start(worker.index, worker.socket, folder)
        fresh.pause = min(2 * worker.pause, LONGEST_PAUSE) if young else FIRST_PAUSE
        return fresh

    def _see_out(self) -> None:
        """Ask everybody to leave; a second signal hurries them; who does not leave in time is
        ended.
        """
        settings = self._settings
        end = time.monotonic() + settings.drain_delay + settings.drain_seconds + GRACE_SECONDS + 5
        told = 0
        while alive := [worker for worker in self._workers if worker.process.is_alive()]:
            if told < max(1, self._signals):
                told += 1
                for worker in alive:
                    worker.process.terminate()
            if time.monotonic() > end:
                for worker in alive:
                    worker.process.kill()
            wait([worker.process.sentinel for worker in alive], timeout=TICK_SECONDS)
        for sock in self._sockets:
            sock.close()


def _hear(line: Connection) -> object:
    try:
        return line.recv()
    except EOFError:
        return None


def bind(host: str, port: int, count: int) -> list[socket.socket]:
    """A socket for each worker on the same address; the same one for all where the system has no
    SO_REUSEPORT.

    Raises:
        OSError: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sockets: list[socket.socket] = []
    for _ in range(count):
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT"):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        elif sockets:
            sock.close()
            sockets.append(sockets[0].dup())
            continue
        sock.bind((host, port))
        sock.set_inheritable(True)
        port = sock.getsockname()[1]
        sockets.append(sock)
    return sockets


def work(
    settings: Settings, sock: socket.socket, line: Connection, folder: Path, index: int
) -> None:
    """A worker's life."""
    logs.configure(settings.log_level, settings.log_format, access_log=settings.access_log)
    # Ctrl-C in a terminal reaches the whole group; the supervisor passes on what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        app = create_app(settings)
    except StoreError as error:
        sys.stderr.write(f"pushhub: {error}\n")
        sys.exit(1)
    peers = Peers(folder, index, settings.workers)
    app.service.peers = peers
    server: Server

    async def started(port: int) -> None:
        loop = asyncio.get_running_loop()
        await peers.open(app.service)
        # The line ends when the supervisor does, however that came; nobody serves unsupervised.
        loop.add_reader(line.fileno(), lambda: server.handle_exit(signal.SIGTERM, None))
        line.send(READY)

    server = Server(app, started)
    server.run(sockets=[sock])
    sys.exit(0 if server.started else 1)
