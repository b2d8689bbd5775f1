"""The composition root: creates and connects all components."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Mount, Router

from pushhub.api.asgi import handled
from pushhub.api.asgi_proxy import AsgiProxy
from pushhub.api.control import Control
from pushhub.api.cors import EXPOSED, Cors
from pushhub.api.endpoints import ROUTES, Endpoints
from pushhub.api.grip import GRIP_ROOT, GRIP_ROUTES
from pushhub.api.pages import pages, problem_handlers
from pushhub.api.service import Service
from pushhub.api.tickets import open_tickets
from pushhub.auth.authenticator import Authenticator
from pushhub.auth.grip_signature import grip_key
from pushhub.auth.tokens import TokenKeyError
from pushhub.console.console import Console
from pushhub.hub.hub import Hub
from pushhub.origin.grip.gateway import GripGateway
from pushhub.origin.origin import Origin
from pushhub.origin.routes import Routes
from pushhub.runtime import Runtime
from pushhub.settings import SettingsError, load
from pushhub.store.redis.acks import AckLevel, Acks
from pushhub.store.urls import open_store_url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Receive, Scope, Send

    from pushhub.settings import Settings
    from pushhub.store.base import Store
    from pushhub.xmpp.server import XmppServer

log = structlog.get_logger(__name__)


class App:
    """pushhub as an ASGI application. Drivers without ASGI use `service` and `endpoints`."""

    def __init__(
        self, settings: Settings, *, store: Store | None = None, runtime: Runtime | None = None
    ) -> None:
        """Create and connect all components.

        Args:
            store: the log; by default the store of `settings.store`.
            runtime: the clock and the randomness; by default the system's.
        """
        self.settings = settings
        runtime = runtime or Runtime()
        if store is None:
            store = open_store_url(
                settings.store,
                runtime.clock,
                _acks(settings),
                settings.channel_idle_age or None,
                may_evict=settings.store_may_evict,
            )
        hub = Hub(store, clock=runtime.clock, uniform=runtime.uniform, max_holds=settings.max_holds)
        key = grip_key(settings, runtime.clock)
        self.service = Service(hub, Authenticator(settings, runtime.clock, key), settings, runtime)
        self.origin = Origin(settings) if settings.origin or settings.routes else None
        if self.origin is not None:
            self.origin.share(hub, settings, self.service.refuse, runtime.uniform)
            self.service.notifications = self.origin.notifications
        if self.origin is not None:
            self.origin.grip = GripGateway(
                hub, self.origin, key, settings.grip_min_seconds, settings.origin_fetches
            )
        serves_xmpp = settings.dev or settings.xmpp_domains
        self.xmpp = self._xmpp_server() if serves_xmpp else None
        self.console = Console(self.service)
        routes = ROUTES + self.console.routes + GRIP_ROUTES
        prefix = settings.prefix if self.origin is not None else ""
        self.endpoints = Endpoints(
            self.service,
            Cors(settings.cors_origins, settings.cors_headers, any_origin=settings.dev),
            routes,
            prefix=prefix,
        )
        self.control = (
            Control(
                self.service,
                settings,
                self.endpoints.cors,
                (*routes, GRIP_ROOT),
                self.console.pages,
            )
            if settings.control
            else None
        )
        own = [*pages(self.service), *self.console.pages]
        self.pages = Starlette(
            routes=[Mount(prefix, Router(own, redirect_slashes=False))] if prefix else own,
            middleware=[
                Middleware(
                    CORSMiddleware,
                    allow_origins=["*"] if settings.dev else settings.cors_origins,
                    allow_credentials=settings.cors_credentials,
                    allow_headers=self.endpoints.cors.allowed.split(", "),
                    expose_headers=EXPOSED.split(", "),
                )
            ],
            exception_handlers=problem_handlers(self.service, prefix),
            lifespan=self._lifespan,
        )
        # Starlette would redirect to an absolute URL, which ignores the path prefix of a proxy.
        self.pages.router.redirect_slashes = False

    def _xmpp_server(self) -> XmppServer:
        # Imported here: XMPP and BOSH take about 100 modules, which other hubs do not need.
        from pushhub.api.bosh_handler import BoshHandler
        from pushhub.xmpp.server import XmppServer

        hub, runtime = self.service.hub, self.service.runtime
        xmpp = XmppServer(hub, self.settings, random_bytes=runtime.random_bytes)
        self.service.bosh = BoshHandler(hub, xmpp.bosh)
        self.service.sessions = xmpp.bosh.__len__
        self.service.session_bytes = lambda: xmpp.bosh.memory.total
        return xmpp

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        await self.open()
        yield
        await self.close()

    async def open(self) -> None:
        """Open the store and start the hub.

        Raises:
            StoreError: the store cannot be opened; the sentence says what to do.
        """
        await self.service.hub.open()
        if self.origin is not None:
            self.origin.open()
        self.service.tickets = await open_tickets(
            self.service.hub, self.settings.ticket_seconds, self.service.runtime.random_bytes
        )
        if self.xmpp is not None:
            await self.xmpp.open()
        self.console.open(self.endpoints)

    async def hand_over(self) -> None:
        """Hand the XMPP sessions over to other nodes, if there are any. Safe to call again."""
        if self.xmpp is not None:
            await self.xmpp.close()

    async def close(self) -> None:
        """Complete the holds that are left, and close the store."""
        self.service.leaving = True
        await self.hand_over()
        await self.service.hub.drain(0)
        self.console.close()
        await self.service.close()
        if self.origin is not None:
            await self.origin.close()
        await self.service.hub.close()

    def reroute(self, settings: Settings) -> None:
        """Replace the routes. Requests under way keep theirs.

        Args:
            settings: the settings of the start with other routes.
        """
        assert self.origin is not None
        self.settings = self.service.settings = settings
        self.origin.routes = Routes(settings)
        log.info("routes.reloaded", routes=len(settings.routes))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if await handled(self.endpoints, scope, receive, send):
                return
            path = scope.get("raw_path") or scope["path"].encode()
            if self.origin is not None and self.origin.owns(path.decode("latin-1")):
                await AsgiProxy(self.origin, self.endpoints, scope, receive, send).run()
                return
        await self.pages(scope, receive, send)


def _acks(settings: Settings) -> Acks:
    return Acks(AckLevel(settings.ack), settings.ack_replicas, round(settings.ack_seconds * 1000))


def create_app(settings: Settings | None = None) -> App:
    """pushhub as an ASGI application, for any server. Its lifespan opens and closes the store.

    Without `settings` they come from the environment and the file that PUSHHUB_CONFIG names, as a
    server's factory needs it: `uvicorn --factory pushhub.app:create_app`.

    Raises:
        SystemExit: a server must not start with those settings; its sentence is that of
            `pushhub serve`.
    """
    if settings is not None:
        return App(settings)
    try:
        settings = load().settings
        if (refusal := settings.refusal()) is None:
            return App(settings)
    except (SettingsError, TokenKeyError) as error:
        refusal = str(error)
    raise SystemExit(f"pushhub: {refusal}")
