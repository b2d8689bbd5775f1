"""The process: a uvicorn server that shuts down cleanly.

uvicorn waits for open requests before it shuts the application down, and held requests wait for the
application, so both would wait for each other. Here the holds are completed first (ecosystem:
uvicorn #251).
"""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from typing import TYPE_CHECKING, cast

import structlog
import uvicorn

from pushhub.app import App, create_app
from pushhub.auth.audit import AuditActor
from pushhub.canary.canary import Canary
from pushhub.canary.listener import CanaryListener
from pushhub.server import listen_error
from pushhub.server.banner import banner
from pushhub.server.collector import CycleCollector
from pushhub.server.descriptors import DescriptorMonitor
from pushhub.server.http1.connection import Connection
from pushhub.server.http1.factory import ConnectionFactory
from pushhub.server.notify_socket import NotifySocket
from pushhub.server.own_connections import UNIX, PrivateListener, dial_listener
from pushhub.server.reload import HANGUP
from pushhub.server.sockets import Listeners, accept_queued, port_of
from pushhub.server.watchdog import Watchdog
from pushhub.store.base import StoreError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence
    from types import FrameType

    from pushhub.api.control import Control
    from pushhub.api.reload import ReloadOutcome
    from pushhub.server.reload import Reload
    from pushhub.settings import Settings

log = structlog.get_logger(__name__)

# The time for requests that are not holds, such as a publish, and for their last bytes: enough for
# a slow phone.
GRACE_SECONDS = 10
# The time for an exit beyond the settings and the open requests.
SLACK_SECONDS = 5.0
# The queue of connections that are not accepted yet: enough for all clients that reconnect after a
# restart.
BACKLOG = 4096


class CannotListen(Exception):
    """An address is in use; the message is a sentence with the remedy."""


class Server(uvicorn.Server):
    """uvicorn, with a drain before its shutdown. When the server listens, it calls `started` with
    its ports, that of `controls` last.
    """

    def __init__(
        self,
        app: App,
        started: Callable[..., None],
        reload: Reload | None = None,
        controls: Sequence[socket.socket] = (),
        manager: NotifySocket | None = None,
    ) -> None:
        self.app = app
        self._manager = manager or NotifySocket()
        self._watchdog = Watchdog(app.service.hub, self._manager)
        self._reload = reload
        self._signalled = False
        self._reloading: asyncio.Task[ReloadOutcome] | None = None
        self._again: asyncio.Task[ReloadOutcome] | None = None
        self._started_callback = started
        self._controls = controls
        self.canary: Canary | None = None
        config = _config(app)
        self.connection_factory = cast("ConnectionFactory", config.http)
        super().__init__(config)
        self.collector = CycleCollector(app.service.hub, self.server_state.connections)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the store, then listen.

        Raises:
            StoreError: the store cannot be opened.
            CannotListen: another process has started to listen on an address.
        """
        await self.app.open()
        settings = self.app.settings
        # uvicorn expects TCP sockets only.
        unix = [sock for sock in sockets or () if sock.family == UNIX]
        tcp = [sock for sock in sockets or () if sock.family != UNIX]
        await self._listen_early(tcp, settings.host, settings.port, "--port")
        if settings.control_address is not None:
            await self._listen_early(self._controls, *settings.control_address, "--control")
        await super().startup(tcp)
        await self._listen(self.config, self.connection_factory, unix)
        public = port_of(self.servers[0].sockets[0])
        self.collector.start()
        DescriptorMonitor(self.app.service.hub).start()
        service = self.app.service
        if service.peers is not None:
            await service.peers.open(service)
        if (reload := self._reload) is not None:
            service.reload = lambda: self._request_reload(reload)
            if HANGUP is not None:
                asyncio.get_running_loop().add_signal_handler(HANGUP, self._on_hangup, reload)
        await self._listen_on_control()
        self.canary = self._start_canary()
        self._started_callback(public, *map(port_of, self._controls[:1]))
        self._manager.ready(self._watchdog.status)
        self._watchdog.start()

    def _start_canary(self) -> Canary:
        app, sockets = self.app, self.servers[0].sockets
        listener = CanaryListener(app.service, app.settings, app.endpoints.cors, app.origin)
        private = PrivateListener(listener, self.config)
        canary = Canary(app.service, private.dial, lambda: dial_listener(sockets), listener.prefix)
        canary.configure(app.settings)
        app.service.canary = canary
        return canary

    async def _listen_early(
        self, sockets: Sequence[socket.socket], host: str, port: int, option: str
    ) -> None:
        """Listen before the event loop does, which would not raise: two processes may bind an
        address, and only one can listen.
        """
        try:
            for sock in sockets:
                sock.listen(BACKLOG)
        except OSError as error:
            await self.app.close()
            why = await asyncio.to_thread(listen_error.sentence, host, port, option, error)
            raise CannotListen(why) from error

    async def _listen_on_control(self) -> None:
        control = self.app.control
        if control is None or not self._controls:
            return
        config = _config(control)
        config.load()
        # The drain and the metrics include its connections, because the list is the same.
        await self._listen(config, ConnectionFactory(control), self._controls)

    async def _listen(
        self, config: uvicorn.Config, factory: ConnectionFactory, sockets: Sequence[socket.socket]
    ) -> None:
        loop = asyncio.get_running_loop()
        accepted = partial(self._accepted, config, factory)
        for sock in sockets:
            create = loop.create_unix_server if sock.family == UNIX else loop.create_server
            self.servers.append(await create(accepted, sock=sock, backlog=BACKLOG))

    def _accepted(self, config: uvicorn.Config, factory: ConnectionFactory) -> Connection:
        return factory(config, self.server_state, self.lifespan.state)

    def _on_hangup(self, reload: Reload) -> None:
        if reload.is_end:
            self.should_exit = True
            return
        self._signalled = True
        self._request_reload(reload)

    def _request_reload(self, reload: Reload) -> asyncio.Task[ReloadOutcome]:
        """A reload that begins from now on: the files may have changed since an earlier one began.
        Requests that come during a reload share the one after it.
        """
        if self._reloading is None or self._reloading.done():
            self._reloading = asyncio.create_task(self._run_reload(reload, None))
            return self._reloading
        if self._again is None or self._again.done():
            self._again = asyncio.create_task(self._run_reload(reload, self._reloading))
            return self._again
        return self._again

    async def _run_reload(
        self, reload: Reload, before: asyncio.Task[ReloadOutcome] | None
    ) -> ReloadOutcome:
        if before is not None:
            await asyncio.wait({before})
            self._reloading, self._again = self._again, None
        # In a thread: a thousand routes would delay polls.
        by_signal, self._signalled = self._signalled, False
        self._manager.reloading()
        settings, outcome = await asyncio.to_thread(reload.run)
        if settings is not None:
            self.app.reconfigure(settings, by_signal=by_signal)
        elif by_signal:
            self.app.reload_failed(outcome.error)
        self._manager.reloaded()
        return outcome

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        settings, service = self.app.settings, self.app.service
        service.leaving = True
        self._watchdog.verb = "Draining"
        self._manager.stopping(self._watchdog.status, stop_seconds(settings))
        log.info("server.draining", holds=service.hub.parked)
        if self.canary is not None:
            await self.canary.close()
        service.audit.record("server.drain", AuditActor("signal"), target_type="server")
        if not self.force_exit:
            await self._unless_forced(asyncio.sleep(settings.drain_delay))
            await self._unless_forced(service.hub.drain(settings.drain_seconds))
        await service.hub.drain(0)
        await self._close_listeners(sockets or ())
        if not self.force_exit:
            # As late as possible, because from now on this node refuses the requests of its
            # sessions. Their clients find the port closed, and so another node.
            for connection in list(self.server_state.connections):
                connection.shutdown()
            await self._unless_forced(self.app.hand_over())
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            if isinstance(connection, Connection):
                connection.abort_unfinished()
        await self.app.close()
        self.collector.stop()
        if reloads := [task for task in (self._reloading, self._again) if task is not None]:
            await asyncio.wait(reloads)
        log.info("server.stopped")

    async def _close_listeners(self, sockets: Sequence[socket.socket]) -> None:
        """Serve the connections that are in the queues, which would be reset, and accept no more.
        Nothing is awaited between the last `accept` and the close.
        """
        queued = [accepted for sock in sockets for accepted in accept_queued(sock, BACKLOG)]
        for server in self.servers:
            server.close()
        # A client may have left meanwhile.
        await asyncio.gather(*map(self._connect, queued), return_exceptions=True)

    async def _connect(self, accepted: socket.socket) -> None:
        accepted.setblocking(False)
        await asyncio.get_running_loop().connect_accepted_socket(
            partial(self._accepted, self.config, self.connection_factory), accepted
        )

    async def _unless_forced(self, work: object) -> None:
        """Wait for the end of `work`, or for a second signal."""
        task = asyncio.ensure_future(work)  # type: ignore[call-overload]
        while not task.done() and not self.force_exit:
            await asyncio.wait({task}, timeout=0.1)
        task.cancel()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # uvicorn would raise the signal again at the end, and the exit status would be "killed".
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True


def stop_seconds(settings: Settings) -> float:
    """The longest time of a stop; after that a process is killed."""
    return settings.drain_delay + settings.drain_seconds + GRACE_SECONDS + SLACK_SECONDS


def _config(app: App | Control) -> uvicorn.Config:
    settings = app.settings
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=ConnectionFactory(app),  # type: ignore[arg-type]
        ws="auto",
        lifespan="off",  # `startup` opens the store, so that its error ends the command
        proxy_headers=False,
        server_header=False,
        access_log=False,  # the application writes one line, as for all other requests
        log_config=None,
        backlog=BACKLOG,
        timeout_keep_alive=int(settings.keep_alive_seconds),
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


def run(
    settings: Settings,
    listeners: Listeners,
    reload: Reload | None = None,
    manager: NotifySocket | None = None,
) -> int:
    """Serve in this process, on bound sockets, until a signal. Returns the exit status: 0 after a
    clean end, 1 if the server could not start.
    """

    def announce(*ports: int) -> None:
        sys.stdout.write(banner(settings, *ports))
        sys.stdout.flush()

    try:
        server = Server(create_app(settings), announce, reload, listeners.controls, manager)
        server.run(sockets=listeners.publics)
    except (StoreError, CannotListen) as error:
        sys.stderr.write(f"pushhub: {error}\n")
        return 1
    return 0 if server.started else 1
