"""The process: a uvicorn server that leaves cleanly.

uvicorn waits for open requests before it tells the application that it should end, and held
requests wait for the application: so left alone the two wait for each other. Here the holds are
answered first (ecosystem: uvicorn #251).
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import structlog
import uvicorn

from pushhub.server.banner import banner
from pushhub.server.collector import Collector
from pushhub.server.descriptors import Descriptors
from pushhub.server.lending import Lending
from pushhub.server.lobby import Lobby
from pushhub.server.reload import HANGUP
from pushhub.server.sockets import port_of
from pushhub.store.base import StoreError
from pushhub.web.app import App, create_app

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence
    from types import FrameType

    from pushhub.server.reload import Reload
    from pushhub.settings import Settings
    from pushhub.web.control import Control

log = structlog.get_logger(__name__)

# Requests that are not holds, such as a publish, and their last bytes: as long as a slow phone
# needs.
GRACE_SECONDS = 10
# Connections that wait to be accepted: a crowd that comes back after a restart.
BACKLOG = 4096


class Server(uvicorn.Server):
    """uvicorn, with a drain before its shutdown. `started` gets the ports when it listens, that of
    `controls` last.
    """

    def __init__(
        self,
        app: App,
        started: Callable[..., None],
        reload: Reload | None = None,
        controls: Sequence[socket.socket] = (),
    ) -> None:
        self.app = app
        self._reload = reload
        self._reloading: asyncio.Task[None] | None = None
        self._hangups = 0
        self._when_started = started
        self._controls = controls
        self.collector = Collector(app.service.hub)
        super().__init__(_config(app))

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the store, then listen.

        Raises:
            StoreError: the store cannot be opened.
        """
        await self.app.open()
        try:
            await super().startup(sockets)
        except SystemExit:
            # uvicorn has said why it cannot listen.
            await self.app.close()
            raise
        self.collector.start()
        Descriptors(self.app.service.hub).start()
        service = self.app.service
        if service.peers is not None:
            await service.peers.open(service)
        if self._reload is not None and HANGUP is not None:
            asyncio.get_running_loop().add_signal_handler(HANGUP, self._hung_up, self._reload)
        await self._listen_to_control()
        self._when_started(*(port_of(server.sockets[0]) for server in self.servers))

    async def _listen_to_control(self) -> None:
        control = self.app.control
        if control is None or not self._controls:
            return
        config = _config(control)
        config.load()
        lobby = Lobby(control)
        loop = asyncio.get_running_loop()
        for sock in self._controls:
            # Its connections are among ours: they are drained and counted with them.
            self.servers.append(
                await loop.create_server(
                    lambda: lobby(config, self.server_state, self.lifespan.state),
                    sock=sock,
                    backlog=BACKLOG,
                )
            )

    def _hung_up(self, reload: Reload) -> None:
        if reload.is_end:
            self.should_exit = True
            return
        self._hangups += 1
        if self._reloading is None or self._reloading.done():
            self._reloading = asyncio.create_task(self._reroute(reload))

    async def _reroute(self, reload: Reload) -> None:
        """Read the routes, and again as often as there was a signal meanwhile."""
        done = 0
        while done < self._hangups:
            done = self._hangups
            # In a thread: a thousand routes take longer than a poll may.
            settings = await asyncio.to_thread(reload.routed)
            if settings is not None:
                self.app.reroute(settings)
        self._hangups = 0

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        settings, service = self.app.settings, self.app.service
        service.leaving = True
        log.info("server.leaving", holds=service.hub.parked)
        if not self.force_exit:
            await self._unless_forced(asyncio.sleep(settings.drain_delay))
            await self._unless_forced(self.app.hand_over())
            await self._unless_forced(service.hub.drain(settings.drain_seconds))
        await service.hub.drain(0)
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            if isinstance(connection, Lending):
                connection.cut()
        await self.app.close()
        self.collector.stop()
        if self._reloading is not None:
            await asyncio.wait({self._reloading})
        log.info("server.left")

    async def _unless_forced(self, work: object) -> None:
        """Wait for `work`, or for a second signal."""
        task = asyncio.ensure_future(work)  # type: ignore[call-overload]
        while not task.done() and not self.force_exit:
            await asyncio.wait({task}, timeout=0.1)
        task.cancel()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # uvicorn would raise the signal again after the end, and the exit status would say
        # "killed".
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True


def _config(app: App | Control) -> uvicorn.Config:
    settings = app.settings
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=Lobby(app),  # type: ignore[arg-type]
        ws="auto",
        lifespan="off",  # the store is opened and closed here, where its sentence is heard
        proxy_headers=False,
        server_header=False,
        access_log=settings.access_log,
        log_config=None,
        backlog=BACKLOG,
        timeout_keep_alive=int(settings.keep_alive_seconds),
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


def run(
    settings: Settings, reload: Reload | None = None, controls: Sequence[socket.socket] = ()
) -> int:
    """Serve in this process until a signal comes. Returns the exit status: 0 after a clean end, 1
    if it could not start.
    """

    def announce(*ports: int) -> None:
        sys.stdout.write(banner(settings, *ports))
        sys.stdout.flush()

    try:
        server = Server(create_app(settings), announce, reload, controls)
        server.run()
    except StoreError as error:
        sys.stderr.write(f"pushhub: {error}\n")
        return 1
    except SystemExit as exit:
        # uvicorn has logged the system's reason, as a line that only programs read gladly.
        sys.stderr.write(
            f"pushhub: {settings.host}:{settings.port} cannot be had, for the reason logged above. "
            "End what listens there, or choose another --port.\n"
        )
        return exit.code if isinstance(exit.code, int) else 1
    return 0 if server.started else 1
