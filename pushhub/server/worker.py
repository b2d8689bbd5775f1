"""One of several workers: a server that hears from its supervisor on a line."""

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
    """What a worker says when it serves."""


@dataclass(frozen=True, slots=True)
class WorkerFailed:
    """What a worker says that cannot serve, before it ends."""

    sentence: str


@dataclass(frozen=True, slots=True)
class Hurry:
    """What a worker is told that is to leave without answering its holds one after the other."""


@dataclass(frozen=True, slots=True)
class Reroute:
    """What a worker is told when there are other routes: the file with them. They are not in the
    message, since a worker that does not listen must not keep the supervisor waiting.
    """

    file: Path


@dataclass(frozen=True, slots=True)
class Beat:
    """What the supervisor asks each worker every second, and what a worker whose loop turns says
    back. `replaced`: how many processes were replaced so far, by reason; the first worker tells it
    in its metrics.
    """

    replaced: Mapping[str, int]


class WorkerServer(Server):
    """A server that only its supervisor can hurry."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # SIGTERM may come twice for one wish: systemd tells all processes of a service, and then
        # the supervisor passes on what it was told.
        self.should_exit = True


def written_routes(settings: Settings) -> bytes:
    """The routes as a supervisor writes them for its workers."""
    return orjson.dumps([route.model_dump(exclude_defaults=True) for route in settings.routes])


def with_routes(settings: Settings, written: bytes) -> Settings:
    """Settings with the routes that a supervisor wrote, which has checked them."""
    routes = [Route.model_validate(fields) for fields in orjson.loads(written)]
    return settings.model_copy(update={"routes": routes})


def work(
    settings: Settings, sockets: list[socket.socket], line: Connection, folder: Path, index: int
) -> None:
    """A worker's life, in a process of its own. It serves on the first of `sockets`, and those of
    control on the second; it answers for its figures in `folder`; it leaves when it is told to on
    `line`, or when that ends.
    """
    logs.configure(settings.log_level, settings.log_format, access_log=settings.access_log)
    supervisor = os.getppid()
    peers = WorkerMetrics(folder, index, settings.workers)
    server: WorkerServer

    def started(*ports: int) -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(line.fileno(), hear, loop)
        line.send(Ready())

    def hear(loop: asyncio.AbstractEventLoop) -> None:
        try:
            told = line.recv()
        except (EOFError, OSError):
            # The line ends when the supervisor does, however that came; nobody serves unsupervised.
            loop.remove_reader(line.fileno())
            server.should_exit = True
            return
        if isinstance(told, Beat):
            if index == 0:
                app.service.replaced = told.replaced
            line.send(told)
        elif isinstance(told, Reroute):
            server.app.reroute(with_routes(app.settings, told.file.read_bytes()))
        else:
            server.should_exit = server.force_exit = True

    try:
        app = create_app(settings)
        app.service.peers = peers
        server = WorkerServer(app, started, controls=sockets[1:])
        server.run(sockets=sockets[:1])
    except (StoreError, CannotListen) as error:
        line.send(WorkerFailed(str(error)))
        sys.exit(1)
    finally:
        peers.close(last=os.getppid() != supervisor)
    sys.exit(0 if server.started else 1)
