"""Several processes on one address. Each has its own loop and subscriptions; they share Redis.

The supervisor binds a socket with a queue of its own for each worker (SO_REUSEPORT), and keeps the
sockets open: connections that arrive during the restart of a worker wait in its queue. If the next
process fails to start, the supervisor closes the queue, and the other workers get the connections.
"""

from __future__ import annotations

import math
import multiprocessing
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from pushhub.server.banner import banner
from pushhub.server.notify_socket import Beat, NotifySocket
from pushhub.server.reload import HANGUP
from pushhub.server.reload_round import ReloadRound
from pushhub.server.server import SLACK_SECONDS, stop_seconds
from pushhub.server.sockets import CAN_SHARE, Listeners, bound, port_of
from pushhub.server.terminal_signals import terminal_signals_blocked
from pushhub.server.worker import (
    ForceExit,
    Heartbeat,
    Ready,
    Reconfigure,
    Reconfigured,
    ReloadDone,
    ReloadFailed,
    RequestReload,
    WorkerFailed,
    run_worker,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess
    from types import FrameType

    from pushhub.server.reload import Reload
    from pushhub.settings import Settings

log = structlog.get_logger(__name__)

# A worker that dies this early will probably do so again; then the pause before the next start
# doubles.
YOUNG_SECONDS = 5.0
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
# How often the supervisor checks for signals and for messages of the workers.
TICK_SECONDS = 0.1
# The interval of heartbeats to a worker. `worker_hung_seconds` is at least ten of these.
BEAT_SECONDS = 0.5
# After so long a pause between two checks the supervisor or the machine was stopped: missing
# heartbeats say nothing about the workers.
STOPPED_SECONDS = 2.0


@dataclass(slots=True)
class Worker:
    """One worker: its sockets, its present process, and the health of that."""

    index: int
    sockets: list[socket.socket]
    """The listening sockets: the public ones, and those of `control` if it is set."""
    publics: int
    """The number of the public sockets."""
    process: SpawnProcess = field(init=False)
    pipe: Connection = field(init=False)
    started: float = 0.0
    """The start of the process, on the monotonic clock, as all times here."""
    ready: bool = False
    ready_by: float = 0.0
    """The deadline for the process to be ready; then it is killed."""
    failed: str = ""
    """The sentence of a process that cannot serve."""
    pause: float = FIRST_PAUSE
    """Seconds before the next start, if the process dies early."""
    restart_at: float | None = None
    """The time of the next start, if there is no process."""
    unanswered_since: float | None = None
    """The time of the heartbeat to which the process has not responded."""
    beat_at: float = 0.0
    """The time of the next heartbeat."""
    configured: int = 0
    """The number of the settings that the process uses."""
    requests: int = 0
    """The requests for a reload that the process has sent, and that are not done."""
    reason: str = "died"
    """The reason for the end of the process: `died` or `hung`."""
    killed_at: float = math.inf
    """The time at which the process was killed, if it is there still."""
    holds: int = 0
    """The number of holds at the last heartbeat."""

    def receive(self) -> None:
        """Receive a message of the process, if there is one."""
        try:
            message = self.pipe.recv() if self.pipe.poll() else None
        except (EOFError, OSError):
            return
        if isinstance(message, Ready):
            self.ready = True
            log.info("worker.ready", worker=self.index, pid=self.process.pid)
        elif isinstance(message, WorkerFailed):
            self.failed = message.sentence
        elif isinstance(message, Heartbeat):
            self.unanswered_since, self.holds = None, message.holds
        elif isinstance(message, Reconfigured):
            self.configured = message.number
        elif isinstance(message, RequestReload):
            self.requests += 1

    def beat(self, now: float, replaced: dict[str, int]) -> None:
        """Send a heartbeat, if it is time and the last one has a response."""
        if not self.ready or self.unanswered_since is not None or now < self.beat_at:
            return
        self.unanswered_since, self.beat_at = now, now + BEAT_SECONDS
        try:
            self.pipe.send(Heartbeat(replaced))
        except OSError:
            pass  # the process has ended, which `_supervise` notices

    def start_timed_out(self, now: float) -> bool:
        """Whether the process is not ready after its deadline."""
        return not self.ready and now > self.ready_by

    def hangs(self, now: float, seconds: float) -> bool:
        """Whether a heartbeat has had no response for longer than `seconds`."""
        return self.unanswered_since is not None and now - self.unanswered_since > seconds

    def force_exit(self) -> None:
        """Make the process exit without spreading the completion of its holds."""
        try:
            self.pipe.send(ForceExit())
        except OSError:
            pass  # the process has ended

    def close(self) -> None:
        """Close the listening sockets."""
        for sock in self.sockets:
            sock.close()

    def send(self, message: Reconfigure | ReloadDone | ReloadFailed) -> None:
        """Send a message about a reload."""
        try:
            self.pipe.send(message)
        except OSError:
            pass  # the process has ended; the next one starts with the present settings


class Supervisor:
    """Starts the workers, restarts those that die, and waits for them at the end. `listeners` are
    bound sockets for each worker; with `shared` these are the same ones, and stay open. The service
    `manager` receives beats while the supervisor's own loop runs and replaces hung workers.
    """

    def __init__(
        self,
        settings: Settings,
        listeners: Sequence[Listeners],
        reload: Reload | None = None,
        manager: NotifySocket | None = None,
        *,
        shared: bool = False,
    ) -> None:
        self._settings = settings
        self._rebinds = CAN_SHARE and not shared
        self._manager = manager or NotifySocket()
        self._beat = Beat(self._manager)
        self._reload = reload
        self._context = multiprocessing.get_context("spawn")
        # The same addresses for each worker.
        self._workers = [
            Worker(index, [*one.publics, *one.controls], len(one.publics))
            for index, one in enumerate(listeners)
        ]
        self._addresses = [sock.getsockname()[:2] for sock in self._workers[0].sockets]
        first = listeners[0]
        self._ports = [port_of(sock) for sock in (first.publics[0], *first.controls[:1])]
        self._announced = False
        self._signals = 0
        self._hangups = 0
        self._reloads = ReloadRound()
        self._replaced = {"died": 0, "hung": 0}
        self._checked_at = time.monotonic()

    def run(self) -> int:
        """Serve until a signal comes. Returns the exit status: 1 if the workers could not start."""
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, self._on_signal)
        if self._reload is not None and HANGUP is not None:
            signal.signal(HANGUP, self._on_hangup)
        with tempfile.TemporaryDirectory(prefix="pushhub-") as folder:
            self._folder = Path(folder)
            try:
                for worker in self._workers:
                    self._start(worker)
                return self._supervise()
            finally:
                self._stop_workers()

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        self._signals += 1

    def _on_hangup(self, signum: int, frame: FrameType | None) -> None:
        self._hangups += 1

    def _reload_settings(self) -> None:
        """Read the settings again and send them to the workers, if SIGHUP or a request has come."""
        rounds = self._reloads
        if self._reload is None or rounds.is_running(self._workers, time.monotonic()):
            return
        self._manager.reloaded()
        asking = [worker for worker in self._workers if worker.requests]
        if not self._hangups and not asking:
            return
        by_signal = self._hangups > 0
        is_end = by_signal and self._reload.is_end
        self._hangups = 0
        if is_end:
            self._signals += 1
            return
        counts = [(worker, worker.requests) for worker in asking]
        for worker in asking:
            worker.requests = 0
        self._manager.reloading()
        settings, outcome = self._reload.run()
        if settings is not None:
            self._settings = settings
        rounds.begin(settings, outcome, self._workers, counts, self._folder, by_signal)

    def _start(self, worker: Worker) -> None:
        if worker.sockets[0].fileno() < 0:
            try:
                worker.sockets = [bound(*address, shares=True) for address in self._addresses]
            except OSError as error:
                log.warning("worker.socket_failed", worker=worker.index, error=error.strerror)
                worker.restart_at = time.monotonic() + LONGEST_PAUSE
                return
        worker.pipe, theirs = self._context.Pipe()
        worker.process = self._context.Process(
            target=run_worker,
            args=(self._settings, worker.sockets, theirs, self._folder, worker.index),
            kwargs={"reloads": self._reload is not None, "publics": worker.publics},
            name=f"worker-{worker.index}",
        )
        with terminal_signals_blocked():
            worker.process.start()
        theirs.close()
        worker.started, worker.ready, worker.failed = time.monotonic(), False, ""
        worker.ready_by = worker.started + self._settings.worker_start_seconds
        worker.restart_at = worker.unanswered_since = None
        worker.reason, worker.killed_at = "died", math.inf
        worker.configured, worker.requests = self._reloads.number, 0

    def _supervise(self) -> int:
        while not self._signals:
            wait([w.process.sentinel for w in self._workers if w.restart_at is None], TICK_SECONDS)
            self._reload_settings()
            self._check_health()
            for worker in self._workers:
                if worker.restart_at is not None:
                    if time.monotonic() >= worker.restart_at:
                        self._start(worker)
                    continue
                # In this order: the last message of a dead process is still in the pipe.
                alive = worker.process.is_alive()
                worker.receive()
                if not alive and not self._signals:
                    if not self._announced:
                        # At the first start the other workers will fail, too.
                        status = worker.process.exitcode
                        why = worker.failed or f"A worker could not start (status {status})."
                        sys.stderr.write(f"pushhub: {why}\n")
                        return 1
                    self._schedule_restart(worker)
            if not self._announced and all(worker.ready for worker in self._workers):
                self._announced = True
                sys.stdout.write(banner(self._settings, *self._ports))
                sys.stdout.flush()
                self._manager.ready(self._status)
            self._feed()
        return 0

    @property
    def _status(self) -> str:
        running = [worker for worker in self._workers if worker.ready and not worker.restart_at]
        holds = sum(worker.holds for worker in running)
        return f"{len(running)} of {len(self._workers)} workers serve; {holds} holds"

    def _feed(self) -> None:
        """Send a beat to the service manager, unless a killed worker does not end: a hung worker is
        replaced here, and the others go on.
        """
        now = time.monotonic()
        if all(now - worker.killed_at < SLACK_SECONDS for worker in self._workers):
            self._beat.send(now, self._status)

    def _check_health(self) -> None:
        """Kill the workers whose loop is blocked or whose start takes too long; a new process
        replaces them, as after a crash.
        """
        now, checked_at = time.monotonic(), self._checked_at
        self._checked_at = now
        settings = self._settings
        for worker in self._workers:
            if worker.restart_at is not None:
                continue
            worker.receive()
            if now - checked_at > STOPPED_SECONDS:
                worker.unanswered_since = None
                worker.ready_by = now + settings.worker_start_seconds
            worker.beat(now, dict(self._replaced))
            if worker.start_timed_out(now):
                worker.failed = (
                    f"A worker was not ready within {settings.worker_start_seconds:g} s of its"
                    " start (worker_start_seconds)."
                )
                self._kill(worker, "start", now - worker.started)
            elif worker.hangs(now, settings.worker_hung_seconds):
                self._kill(worker, "serving", now - (worker.unanswered_since or now))

    def _kill(self, worker: Worker, phase: str, seconds: float) -> None:
        """Kill a worker that hangs."""
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
        worker.unanswered_since, worker.reason = None, "hung"
        worker.ready_by, worker.killed_at = math.inf, time.monotonic()
        worker.process.kill()

    def _schedule_restart(self, worker: Worker) -> None:
        """Schedule the next process of a worker that has died."""
        now = time.monotonic()
        self._replaced[worker.reason] += 1
        log.warning(
            "worker.died",
            worker=worker.index,
            pid=worker.process.pid,
            status=worker.process.exitcode,
            **({"error": worker.failed} if worker.failed else {}),
        )
        worker.pipe.close()
        worker.killed_at = math.inf
        if not worker.ready and self._rebinds:
            worker.close()
        if now - worker.started < YOUNG_SECONDS:
            worker.restart_at = now + worker.pause
            worker.pause = min(2 * worker.pause, LONGEST_PAUSE)
        else:
            worker.restart_at, worker.pause = now, FIRST_PAUSE

    def _stop_workers(self) -> None:
        """Terminate the workers. A second signal forces their exit; a worker that takes too long is
        killed.
        """
        seconds = stop_seconds(self._settings)
        end = time.monotonic() + seconds
        self._manager.stopping(f"Draining; {self._status}", seconds)
        for worker in self._workers:
            # When the worker closes its own copy too, the kernel refuses new connections; else
            # clients would wait in a queue that no process accepts from.
            worker.close()
        started = [worker for worker in self._workers if hasattr(worker, "process")]
        for worker in started:
            if worker.restart_at is None:
                worker.process.terminate()
        forced = 1
        while alive := [worker for worker in started if worker.process.is_alive()]:
            if forced < self._signals:
                forced = self._signals
                for worker in alive:
                    worker.force_exit()
            if time.monotonic() > end:
                for worker in alive:
                    log.error("worker.killed", worker=worker.index, pid=worker.process.pid)
                    worker.process.kill()
                    worker.process.join()
            wait([worker.process.sentinel for worker in alive], TICK_SECONDS)
            self._feed()
