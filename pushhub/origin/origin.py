"""The origin: its routes, the connections to it, its shared resources, and GRIP."""

from __future__ import annotations

import random
import secrets
from typing import TYPE_CHECKING

import structlog

from pushhub.http.client_address import counted_network, may_be_proxy
from pushhub.http.forwarded import TrustedProxies
from pushhub.http.problem import Problem
from pushhub.hub.counted_log import CountedLog
from pushhub.origin.client.pool import OriginClient
from pushhub.origin.client.slots import PoolLimits
from pushhub.origin.headers import is_statement
from pushhub.origin.misdirected import Misdirected
from pushhub.origin.routes import Routes
from pushhub.origin.shared.notifications import Notifications
from pushhub.origin.shared.table import ResourceTable
from pushhub.origin.tunnels import Tunnels
from pushhub.tasks import TaskSet

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

    from pushhub.http.response import Response
    from pushhub.hub.hub import Hub
    from pushhub.origin.grip.gateway import GripGateway
    from pushhub.origin.request import ProxiedRequest
    from pushhub.origin.shared.fetcher import FetchTracer
    from pushhub.settings import Settings

log = structlog.get_logger(__name__)


class Origin:
    """The server or servers behind pushhub, which get all requests outside the prefix."""

    def __init__(self, settings: Settings, proxies: TrustedProxies | None = None) -> None:
        self.routes = Routes(settings)
        self.forwarded = settings.forwarded
        self.proxies = proxies or TrustedProxies(settings.trusted_proxies)
        self.connect_seconds = settings.origin_connect_seconds
        self._prefix = settings.prefix + "/"
        self.misdirected = Misdirected(settings.prefix)
        self._tasks = TaskSet()
        limits = PoolLimits.of(
            settings.origin_connections, settings.origin_share, settings.origin_upload_share
        )
        self.client = OriginClient(settings.origin_connect_seconds, settings.origin_seconds, limits)
        self.whole_body_bytes = settings.origin_buffer_bytes
        self.body_seconds = settings.body_seconds
        self.min_rate = settings.min_body_rate
        self.tunnels = Tunnels(
            settings.max_tunnels, settings.max_tunnels_per_address, settings.write_seconds
        )
        self.log = CountedLog()
        self.grip: GripGateway | None = None
        self.resources: ResourceTable | None = None
        self.notifications: Notifications | None = None
        self.is_traced = False

    def share(
        self,
        hub: Hub,
        settings: Settings,
        refuse: Callable[[Problem], Response],
        uniform: Callable[[float, float], float] = random.uniform,
        new_name: Callable[[], str] = lambda: secrets.token_hex(8),
    ) -> None:
        """Let requests wait on resources, through `hub`. `refuse` makes a response of a problem,
        and `new_name` draws a name for this node.
        """
        self.log = hub.log
        self.resources = ResourceTable(self, hub, settings, refuse, uniform, new_name)
        self.notifications = Notifications(hub, self.resources)

    def trace(self, tracer: FetchTracer) -> None:
        """Let a tracer begin the spans of shared fetches."""
        assert self.resources is not None
        self.resources.fetcher.tracer = tracer
        self.is_traced = True

    def configure(self, routes: Routes, settings: Settings) -> None:
        """Use the routes and the budget of a reload."""
        self.routes = routes
        if self.resources is not None:
            self.resources.pace.configure(settings)

    def route(self, request: ProxiedRequest) -> None:
        """Set the route of a request.

        Raises:
            Problem: 404, no route matches.
        """
        # A request about the server as a whole takes the route of its root (RFC 9110 §9.3.7).
        path = "/" if request.path == "*" else request.path
        match = self.routes.find(request.host, path)
        if match is None:
            raise Problem(
                "no-route",
                f"No route matches this URL; pushhub's own routes are under {self._prefix}.",
            )
        request.match = match

    def client_key(self, request: ProxiedRequest) -> str:
        """The key under which limits count the client; empty if they do not count its address."""
        address = self.proxies.client(request.client, request.headers)
        return counted_network(address, self.proxies)

    def warn_of_unnamed_proxy(self, request: ProxiedRequest) -> None:
        """Log that the forwarding headers of a request are removed, if its peer looks like a proxy
        that `trusted_proxies` does not name.
        """
        if self.forwarded == "none" or request.trusted or not may_be_proxy(request.client):
            return
        for name, _ in request.pairs:
            if is_statement(name.lower()):
                self.log.warning(
                    log,
                    "origin.forwarding_removed",
                    peer=request.client,
                    header=name.decode("latin-1"),
                    remedy="If the peer is a proxy, name it in trusted_proxies.",
                )
                return

    def owns(self, path: str) -> bool:
        """Whether a path belongs to the origin, and not to pushhub's own routes."""
        return not path.startswith(self._prefix)

    def spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run a coroutine in a task of its own, which `close` cancels."""
        return self._tasks.spawn(work)

    async def announce(self, resources: list[str]) -> None:
        """Notify every node that resources have changed, and wait until this node knows."""
        if resources and self.notifications is not None:
            await self.notifications.settle(resources)

    def open(self) -> None:
        """Begin to send requests and to receive notifications. The hub is open."""
        self.client.open()
        if self.resources is not None:
            self.resources.pace.open()
        if self.notifications is not None:
            self.notifications.open()
        if self.grip is not None:
            self.grip.open()

    async def close(self) -> None:
        """Cancel all tasks, and close every connection to the origin."""
        if self.resources is not None:
            self.resources.pace.close()
        if self.notifications is not None:
            self.notifications.close()
        if self.grip is not None:
            self.grip.close()
        self._tasks.cancel()
        await self._tasks.wait()
        self.tunnels.close()
        self.client.close()
