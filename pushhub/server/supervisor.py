"""Several processes on one address: each has its own loop and its own subscriptions, and Redis is
what they share.

The supervisor binds a socket for each worker (SO_REUSEPORT), so that each has a queue of its own,
and keeps them open: what arrives while a worker is being restarted waits in its queue. If the next
process does not come to serve, its queue is given up, and the others get what comes.
"""

from __future__ import annotations

import math
import multiprocessing
import signal
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from pushhub.server.banner import banner
from pushhub.server.reload import HANGUP
from pushhub.server.server import GRACE_SECONDS
from pushhub.server.sockets import SHARES, bound, port_of
from pushhub.server.worker import Beat, Hurry, Ready, Reroute, WorkerFailed, work, written_routes

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess
    from types import FrameType

    from pushhub.server.reload import Reload
    from pushhub.settings import Settings

log = structlog.get_logger(__name__)

# A worker that dies this soon after its start will do so again; then the pause before the next
# attempt doubles.
YOUNG_SECONDS = 5.0
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
# How often the supervisor looks whether it was told to leave, or a worker is ready.
TICK_SECONDS = 0.1
# How often a worker is asked for a sign of life. `worker_hung_seconds` is ten of these at least.
BEAT_SECONDS = 0.5
# A supervisor that did not look for so long was stopped itself, or the machine was: what the
# workers owe it says nothing about them.
AWAY_SECONDS = 2.0
# What a worker may take to leave beyond what its settings and open requests take.
SLACK_SECONDS = 5.0


@dataclass(slots=True)
class Worker:
    """One of the places in which a process serves, and how its present process fares."""

    index: int
    sockets: list[socket.socket]
    """Where it listens: for everybody, and for control if there is that."""
    process: SpawnProcess = field(init=False)
    line: Connection = field(init=False)
    started: float = 0.0
    """When, on the monotonic clock, as all times here."""
    ready: bool = False
    ready_by: float = 0.0
    """Until when the process has to be ready, or it is killed."""
    failed: str = ""
    """Why the process cannot serve, in a sentence, if it has said so."""
    pause: float = FIRST_PAUSE
    """Seconds before the next attempt, if the process dies young."""
    again_at: float | None = None
    """When the next process is started, if there is none."""
    owes_since: float | None = None
    """Since when a sign of life is owed."""
    beat_at: float = 0.0
    """When the process is asked for the next one."""
    reason: str = "died"
    """Why the process ends, if it does."""

    def hear(self) -> None:
        """Take note of what the process has said."""
        try:
            said = self.line.recv() if self.line.poll() else None
        except (EOFError, OSError):
            return
        if isinstance(said, Ready):
            self.ready = True
            log.info("worker.ready", worker=self.index, pid=self.process.pid)
        elif isinstance(said, WorkerFailed):
            self.failed = said.sentence
        elif isinstance(said, Beat):
            self.owes_since = None

    def beat(self, now: float, replaced: dict[str, int]) -> None:
        """Ask the process for a sign of life, if it is time and none is owed."""
        if not self.ready or self.owes_since is not None or now < self.beat_at:
            return
        self.owes_since, self.beat_at = now, now + BEAT_SECONDS
        try:
            self.line.send(Beat(replaced))
        except OSError:
            pass  # it is gone, which is noticed otherwise

    def is_late(self, now: float) -> bool:
        """Whether the process should serve by now, and does not."""
        return not self.ready and now > self.ready_by

    def hangs(self, now: float, seconds: float) -> bool:
        """Whether a sign of life has been owed for longer than `seconds`."""
        return self.owes_since is not None and now - self.owes_since > seconds

    def hurry(self) -> None:
        """Have the process leave without answering its holds one after the other."""
        try:
            self.line.send(Hurry())
        except OSError:
            pass  # it is gone

    def close(self) -> None:
        """Give up its addresses."""
        for sock in self.sockets:
            sock.close()

    def reroute(self, file: Path) -> None:
        """Have the process take the routes in a file."""
        try:
            self.line.send(Reroute(file))
        except OSError:
            pass  # it is gone; the next one starts with them


class Supervisor:
    """Starts the workers, starts those again that die, and waits for them at the end. `publics` are
    bound sockets, one for each worker.
    """

    def __init__(
        self,
        settings: Settings,
        publics: Sequence[socket.socket],
        reload: Reload | None = None,
        controls: Sequence[socket.socket] = (),
    ) -> None:
        self._settings = settings
        # A Unix socket has one queue, which is never given up.
        self._rebinds = SHARES and settings.unix_socket is None
        self._reload = reload
        self._context = multiprocessing.get_context("spawn")
        # The same addresses for each worker.
        self._workers = [
            Worker(index, list(sockets))
            for index, sockets in enumerate(
                zip(publics, *([controls] if controls else []), strict=True)
            )
        ]
        self._addresses = [sock.getsockname()[:2] for sock in self._workers[0].sockets]
        self._ports = [port_of(sock) for sock in self._workers[0].sockets]
        self._announced = False
        self._signals = 0
        self._hangups = 0
        self._reroutes = 0
        self._replaced = {"died": 0, "hung": 0}
        self._looked = time.monotonic()

    def run(self) -> int:
        """Serve until a signal comes. Returns the exit status: 1 if the workers could not start."""
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, self._told)
        if self._reload is not None and HANGUP is not None:
            signal.signal(HANGUP, self._hung_up)
        with tempfile.TemporaryDirectory(prefix="pushhub-") as folder:
            self._folder = Path(folder)
            try:
                for worker in self._workers:
                    self._start(worker)
                return self._supervise()
            finally:
                self._see_out()

    def _told(self, signum: int, frame: FrameType | None) -> None:
        self._signals += 1

    def _hung_up(self, signum: int, frame: FrameType | None) -> None:
        self._hangups += 1

    def _heed_hangups(self) -> None:
        """Give everybody the routes of now, if there was a signal."""
        if not self._hangups or self._reload is None:
            return
        self._hangups = 0
        if self._reload.is_end:
            self._signals += 1
            return
        settings = self._reload.routed()
        if settings is None:
            return
        self._settings = settings
        self._reroutes += 1
        file = self._folder / f"routes-{self._reroutes}.json"
        file.write_bytes(written_routes(settings))
        for worker in self._workers:
            if worker.again_at is None:
                worker.reroute(file)

    def _start(self, worker: Worker) -> None:
        if worker.sockets[0].fileno() < 0:
            try:
                worker.sockets = [bound(*address, shares=True) for address in self._addresses]
            except OSError as error:
                log.warning("worker.unbound", worker=worker.index, error=error.strerror)
                worker.again_at = time.monotonic() + LONGEST_PAUSE
                return
        worker.line, theirs = self._context.Pipe()
        worker.process = self._context.Process(
            target=work,
            args=(self._settings, worker.sockets, theirs, self._folder, worker.index),
            name=f"worker-{worker.index}",
        )
        with _deaf_to_the_terminal():
            worker.process.start()
        theirs.close()
        worker.started, worker.ready, worker.failed = time.monotonic(), False, ""
        worker.ready_by = worker.started + self._settings.worker_start_seconds
        worker.again_at = worker.owes_since = None
        worker.reason = "died"

    def _supervise(self) -> int:
        while not self._signals:
            wait([w.process.sentinel for w in self._workers if w.again_at is None], TICK_SECONDS)
            self._heed_hangups()
            self._look_for_hung()
            for worker in self._workers:
                if worker.again_at is not None:
                    if time.monotonic() >= worker.again_at:
                        self._start(worker)
                    continue
                # Asked first: what it said before it died is still on the line.
                alive = worker.process.is_alive()
                worker.hear()
                if not alive and not self._signals:
                    if not self._announced:
                        # No other will be able to, either.
                        status = worker.process.exitcode
                        why = worker.failed or f"A worker could not start (status {status})."
                        sys.stderr.write(f"pushhub: {why}\n")
                        return 1
                    self._bury(worker)
            if not self._announced and all(worker.ready for worker in self._workers):
                self._announced = True
                sys.stdout.write(banner(self._settings, *self._ports))
                sys.stdout.flush()
        return 0

    def _look_for_hung(self) -> None:
        """End the workers whose loop has not turned for too long, and those that do not come to
        serve; they are replaced as dead ones are.
        """
        now, looked = time.monotonic(), self._looked
        self._looked = now
        settings = self._settings
        for worker in self._workers:
            if worker.again_at is not None:
                continue
            worker.hear()
            if now - looked > AWAY_SECONDS:
                worker.owes_since = None
                worker.ready_by = now + settings.worker_start_seconds
            worker.beat(now, dict(self._replaced))
            if worker.is_late(now):
                worker.failed = (
                    f"A worker was not ready within {settings.worker_start_seconds:g} s of its"
                    " start (worker_start_seconds)."
                )
                self._kill(worker, "start", now - worker.started)
            elif worker.hangs(now, settings.worker_hung_seconds):
                self._kill(worker, "serving", now - (worker.owes_since or now))

    def _kill(self, worker: Worker, phase: str, seconds: float) -> None:
        """End a worker that hangs."""
        log.error(
            "worker.hung",
            worker=worker.index,
            pid=worker.process.pid,
            phase=phase,
            seconds=round(seconds, 1),
            effect="The worker is killed and replaced."
            if self._announced
            else "The worker is killed, and the command ends.",
        )
        worker.owes_since, worker.reason = None, "hung"
        worker.ready_by = math.inf
        worker.process.kill()

    def _bury(self, worker: Worker) -> None:
        """A worker has died: another takes its place, soon."""
        now = time.monotonic()
        self._replaced[worker.reason] += 1
        log.warning(
            "worker.died",
            worker=worker.index,
            pid=worker.process.pid,
            status=worker.process.exitcode,
            **({"error": worker.failed} if worker.failed else {}),
        )
        worker.line.close()
        if not worker.ready and self._rebinds:
            worker.close()
        if now - worker.started < YOUNG_SECONDS:
            worker.again_at = now + worker.pause
            worker.pause = min(2 * worker.pause, LONGEST_PAUSE)
        else:
            worker.again_at, worker.pause = now, FIRST_PAUSE

    def _see_out(self) -> None:
        """Ask everybody to leave; a second signal hurries them; who does not leave in time is
        ended.
        """
        settings = self._settings
        seconds = settings.drain_delay + settings.drain_seconds + GRACE_SECONDS + SLACK_SECONDS
        end = time.monotonic() + seconds
        for worker in self._workers:
            # A worker that has closed its own copy refuses, instead of letting clients wait in
            # vain.
            worker.close()
        started = [worker for worker in self._workers if hasattr(worker, "process")]
        for worker in started:
            if worker.again_at is None:
                worker.process.terminate()
        hurried = 1
        while alive := [worker for worker in started if worker.process.is_alive()]:
            if hurried < self._signals:
                hurried = self._signals
                for worker in alive:
                    worker.hurry()
            if time.monotonic() > end:
                for worker in alive:
                    log.error("worker.killed", worker=worker.index, pid=worker.process.pid)
                    worker.process.kill()
                    worker.process.join()
            wait([worker.process.sentinel for worker in alive], TICK_SECONDS)


@contextmanager
def _deaf_to_the_terminal() -> Iterator[None]:
    """What is started here never gets SIGINT or SIGHUP: Ctrl-C in a terminal, and its end, reach
    the whole group, and the supervisor alone decides what they mean. It gets its own after the
    block.
    """
    # It would lift the block, on being started by the first process.
    resource_tracker.ensure_running()
    deaf = [signal.SIGINT, *([] if HANGUP is None else [HANGUP])]
    before = signal.pthread_sigmask(signal.SIG_BLOCK, deaf)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
