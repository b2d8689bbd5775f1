"""One of several workers: a server that receives messages of its supervisor from a pipe."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from pushhub import telemetry as logs
from pushhub.app import create_app
from pushhub.server.server import CannotListen, Server
from pushhub.server.worker_metrics import WorkerMetrics
from pushhub.settings import Route
from pushhub.store.base import StoreError

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping
    from multiprocessing.connection import Connection
    from pathlib import Path
    from types import FrameType

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
class Reroute:
    """The supervisor's message: read the routes in `file`. The message does not contain them,
    because a large one to a hung worker would block the supervisor.
    """

    file: Path


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A message that the supervisor sends twice a second, and that a worker with a running loop
    sends back. `replaced` is the number of processes that were replaced so far, by reason; the
    first worker has it in its metrics.
    """

    replaced: Mapping[str, int]


class WorkerServer(Server):
    """A server whose exit only its supervisor can force."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # One stop may send SIGTERM twice: systemd signals all processes of a service, and then the
        # supervisor terminates the workers.
        self.should_exit = True


def dump_routes(settings: Settings) -> bytes:
    """The routes as JSON, for the workers."""
    return orjson.dumps([route.model_dump(exclude_defaults=True) for route in settings.routes])


def load_routes(settings: Settings, dumped: bytes) -> Settings:
    """Settings with the dumped routes, which the supervisor has checked."""
    routes = [Route.model_validate(fields) for fields in orjson.loads(dumped)]
    return settings.model_copy(update={"routes": routes})


def run_worker(
    settings: Settings, sockets: list[socket.socket], pipe: Connection, folder: Path, index: int
) -> None:
    """Run a worker in this process. Its public socket is the first of `sockets`, that of `control`
    the second. Other workers read its metrics from a socket in `folder`. The worker exits on
    SIGTERM, on a message from `pipe`, or when the pipe ends.
    """
    logs.configure(settings.log_level, settings.log_format)
    supervisor = os.getppid()
    peers = WorkerMetrics(folder, index, settings.workers)
    server: WorkerServer

    def started(*ports: int) -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(pipe.fileno(), receive, loop)
        pipe.send(Ready())

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
            pipe.send(message)
        elif isinstance(message, Reroute):
            server.app.reroute(load_routes(app.settings, message.file.read_bytes()))
        else:
            server.should_exit = server.force_exit = True

    try:
        app = create_app(settings)
        app.service.peers = peers
        server = WorkerServer(app, started, controls=sockets[1:])
        server.run(sockets=sockets[:1])
    except (StoreError, CannotListen) as error:
        pipe.send(WorkerFailed(str(error)))
        sys.exit(1)
    finally:
        peers.close(last=os.getppid() != supervisor)
    sys.exit(0 if server.started else 1)
