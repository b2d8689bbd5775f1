"""One of several workers: a server that receives messages of its supervisor from a pipe."""

from __future__ import annotations

import asyncio
import os
import pickle
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pushhub import telemetry as logs
from pushhub.app import create_app
from pushhub.server.orphan import OrphanGuard
from pushhub.server.server import CannotListen, Server, stop_seconds
from pushhub.server.worker_metrics import WorkerMetrics
from pushhub.store.base import StoreError

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping
    from multiprocessing.connection import Connection
    from pathlib import Path
    from types import FrameType

    from pushhub.api.reload import ReloadOutcome
    from pushhub.settings import Settings


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker's message: it serves."""


@dataclass(frozen=True, slots=True)
class WorkerFailed:
    """A worker's last message: it cannot serve, for the reason in `sentence`."""

    sentence: str


@dataclass(frozen=True, slots=True)
class ForceExit:
    """The supervisor's message: exit without spreading the completion of the holds."""


@dataclass(frozen=True, slots=True)
class Reconfigure:
    """The supervisor's message: take the settings in `file`. The message does not contain them,
    because a large one to a hung worker would block the supervisor.
    """

    number: int
    file: Path
    by_signal: bool


@dataclass(frozen=True, slots=True)
class Reconfigured:
    """A worker's message: it uses the settings of this `number`."""

    number: int


@dataclass(frozen=True, slots=True)
class ReloadFailed:
    """The supervisor's message: record that the settings after a signal were rejected."""

    error: str


@dataclass(frozen=True, slots=True)
class RequestReload:
    """A worker's message: a client requests a reload."""


@dataclass(frozen=True, slots=True)
class ReloadDone:
    """The supervisor's message to the workers with such a client: the reload has ended."""

    outcome: ReloadOutcome


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A message that the supervisor sends twice a second, and that a worker with a running loop
    sends back. `replaced` is the number of processes that were replaced so far, by reason; the
    first worker has it in its metrics. `holds` is the number of holds of the worker.
    """

    replaced: Mapping[str, int]
    holds: int = 0


class WorkerServer(Server):
    """A server whose exit only its supervisor can force."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # One stop may send SIGTERM twice: systemd signals all processes of a service, and then the
        # supervisor terminates the workers.
        self.should_exit = True


class ReloadRequests:
    """The requests for a reload at one worker, which wait for the supervisor."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._waiting: list[asyncio.Future[ReloadOutcome]] = []

    async def send(self) -> ReloadOutcome:
        """Request a reload, and wait for its end."""
        waiting: asyncio.Future[ReloadOutcome] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        self._pipe.send(RequestReload())
        return await waiting

    def done(self, outcome: ReloadOutcome) -> None:
        """A reload has ended: the first request is done."""
        if self._waiting and not (waiting := self._waiting.pop(0)).done():
            waiting.set_result(outcome)


def run_worker(
    settings: Settings,
    sockets: list[socket.socket],
    pipe: Connection,
    folder: Path,
    index: int,
    *,
    reloads: bool = False,
    publics: int = 1,
) -> None:
    """Run a worker in this process. The first of `sockets` are `publics` public ones, the others
    are those of `control`. Other workers read its metrics from a socket in `folder`. With `reloads`
    the supervisor can read the settings again. The worker exits on SIGTERM, on a message from
    `pipe`, or when the pipe ends.
    """
    logs.configure(settings.log_level, settings.log_format)
    supervisor = os.getppid()
    peers = WorkerMetrics(folder, index, settings.workers)
    requests = ReloadRequests(pipe)
    server: WorkerServer

    def started(*ports: int) -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(pipe.fileno(), receive, loop)
        pipe.send(Ready())

    def leave() -> float:
        """The seconds that this worker has after the end of its supervisor: those of a stop, or
        none before it serves.
        """
        server.should_exit = True
        return stop_seconds(app.settings) if server.started else 0.0

    def receive(loop: asyncio.AbstractEventLoop) -> None:
        try:
            message = pipe.recv()
        except (EOFError, OSError):
            # The pipe ends with the supervisor, however that ended; no worker runs without one.
            loop.remove_reader(pipe.fileno())
            server.should_exit = True
            return
        if isinstance(message, Heartbeat):
            if index == 0:
                app.service.replaced = message.replaced
            pipe.send(Heartbeat(message.replaced, app.service.hub.parked))
        elif isinstance(message, Reconfigure):
            # The supervisor has written it in a folder of its own.
            changed = pickle.loads(message.file.read_bytes())
            app.reconfigure(changed, by_signal=message.by_signal)
            pipe.send(Reconfigured(message.number))
        elif isinstance(message, ReloadFailed):
            app.reload_failed(message.error)
        elif isinstance(message, ReloadDone):
            requests.done(message.outcome)
        else:
            server.should_exit = server.force_exit = True

    guard = OrphanGuard(leave)
    try:
        app = create_app(settings)
        app.service.peers = peers
        app.service.reload = requests.send if reloads else None
        server = WorkerServer(app, started, controls=sockets[publics:])
        guard.start()
        server.run(sockets=sockets[:publics])
    except (StoreError, CannotListen) as error:
        pipe.send(WorkerFailed(str(error)))
        sys.exit(1)
    finally:
        guard.stop()
        peers.close(last=os.getppid() != supervisor)
    sys.exit(0 if server.started else 1)
