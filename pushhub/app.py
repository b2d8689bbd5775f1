"""The composition root: creates and connects all components."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Mount, Router

from pushhub.api.access_log import access_log, logged, redact_uvicorn
from pushhub.api.asgi import handled, refused, route_path
from pushhub.api.asgi_lifespan import calling_on_signal
from pushhub.api.asgi_proxy import AsgiProxy
from pushhub.api.control import Control
from pushhub.api.cors import EXPOSED, LOOPBACK_ORIGIN, Cors
from pushhub.api.endpoints import ROUTES, Endpoints
from pushhub.api.grip import GRIP_ROOT, GRIP_ROUTES
from pushhub.api.pages import pages, problem_handlers
from pushhub.api.reload import SETTINGS_RELOAD
from pushhub.api.revocation_register import RevocationRegister
from pushhub.api.service import Service
from pushhub.api.tickets import open_tickets
from pushhub.auth.audit import AuditActor
from pushhub.auth.authenticator import Authenticator
from pushhub.auth.grip_signature import grip_key
from pushhub.auth.jwks import Jwks
from pushhub.auth.jwks_source import JwksSource
from pushhub.auth.revocation import Revocations
from pushhub.auth.tokens import TokenKeyError
from pushhub.console.console import Console
from pushhub.hub.hub import Hub
from pushhub.hub.release import release
from pushhub.origin.grip.gateway import GripGateway
from pushhub.origin.origin import Origin
from pushhub.origin.routes import Routes
from pushhub.origin.sources.change_sources import ChangeSources
from pushhub.runtime import Runtime
from pushhub.settings import SettingsError, load
from pushhub.settings.changes import closed_channels
from pushhub.store.redis.acks import AckLevel, Acks
from pushhub.store.urls import open_store_url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Receive, Scope, Send

    from pushhub.settings import Settings
    from pushhub.store.base import Store
    from pushhub.tracing.tracing import Tracing
    from pushhub.xmpp.server import XmppServer

log = structlog.get_logger(__name__)

UNCOUNTED = (
    "Limits by address do not count loopback and private addresses, because trusted_proxies names"
    " no proxy: behind an unnamed proxy all users would be one address."
)


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
        self.revocations = Revocations(runtime.clock, settings.token_max_seconds)
        key = grip_key(settings, runtime.clock, self.revocations)
        self.jwks = Jwks(runtime.clock, settings.token_jwks_grace) if settings.token_jwks else None
        self._jwks_source: JwksSource | None = None
        authority = Authenticator(settings, runtime.clock, key, self.revocations, self.jwks)
        self.service = Service(hub, authority, settings, runtime, jwks=self.jwks)
        self.tracing = self._tracing() if settings.tracing else None
        self.service.revocations = RevocationRegister(hub, self.revocations)
        if self.jwks is not None:
            self.jwks.on_end = self.service.revocations.end_by_grants
        # With `dev` no request needs a key, so the network must decide.
        self.guard = self.service.guard if settings.dev else None
        self.callers = self.service.callers
        self._access_log = access_log(self.service)
        redact_uvicorn()
        self.origin = (
            Origin(settings, self.service.proxies) if settings.origin or settings.routes else None
        )
        if self.origin is not None:
            self.origin.share(
                hub,
                settings,
                self.service.refuse,
                runtime.uniform,
                lambda: runtime.random_bytes(8).hex(),
            )
            self.service.notifications = self.origin.notifications
            if self.tracing is not None:
                self.origin.trace(self.tracing.fetches)
        if (notifications := self.service.notifications) is not None:
            self.service.sources = ChangeSources(hub, notifications, runtime.uniform)
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
            Cors(settings.cors_origins, settings.cors_headers, loopback=settings.dev),
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
                    allow_origins=self.endpoints.cors.origins,
                    allow_origin_regex=LOOPBACK_ORIGIN if settings.dev else None,
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

    def _tracing(self) -> Tracing:
        # Imported here: OpenTelemetry is an extra, and takes about 20 MiB.
        from pushhub import __version__
        from pushhub.tracing.tracing import Tracing

        service = self.service
        tracing = Tracing(service.hub, __version__, service.runtime.random_bytes)
        service.tracer = tracing.requests
        return tracing

    def _xmpp_server(self) -> XmppServer:
        # Imported here: XMPP and BOSH take about 100 modules, which other hubs do not need.
        from pushhub.api.bosh_handler import BoshHandler
        from pushhub.xmpp.server import XmppServer

        hub, runtime = self.service.hub, self.service.runtime
        xmpp = XmppServer(
            hub,
            self.settings,
            self.service.audit,
            random_bytes=runtime.random_bytes,
            revocations=self.revocations,
            jwks=self.jwks,
            proxies=self.service.proxies,
        )
        assert self.service.revocations is not None
        self.service.revocations.listeners.append(xmpp.bosh.end_by_grants)
        self.service.bosh = BoshHandler(hub, xmpp.bosh)
        self.service.sessions = xmpp.bosh.__len__
        xmpp.bosh.callers = self.service.callers
        self.service.session_bytes = lambda: xmpp.bosh.memory.total
        return xmpp

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        await self.open()
        with calling_on_signal(self.leave):
            yield
        await self.close()

    def leave(self) -> None:
        """The server is about to end: complete the holds, so that it need not wait for them."""
        self.service.leaving = True
        self._draining = asyncio.ensure_future(self.service.hub.drain(self.settings.drain_seconds))

    async def open(self) -> None:
        """Open the store and start the hub.

        Raises:
            StoreError: the store cannot be opened; the sentence says what to do.
        """
        await self.service.hub.open()
        if self.tracing is not None:
            control = () if self.control is None else (self.control.endpoints,)
            self.tracing.open(self.endpoints, *control)
        if not (self.settings.dev or self.service.proxies.names_proxy):
            log.info("limits.private_addresses_uncounted", reason=UNCOUNTED)
        assert self.service.revocations is not None
        await self.service.revocations.open()
        if self.jwks is not None and (where := self.settings.token_jwks) is not None:
            seconds, uniform = self.settings.token_jwks_seconds, self.service.runtime.uniform
            self._jwks_source = JwksSource(self.jwks, where, seconds, uniform)
            await self._jwks_source.open()
        if self.origin is not None:
            self.origin.open()
        if self.service.sources is not None:
            self.service.sources.configure(self.settings.sources)
        self.service.tickets = await open_tickets(
            self.service.hub,
            self.settings.ticket_seconds,
            self.service.runtime.random_bytes,
            self.revocations,
            self.service.authority.basis,
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
        assert self.service.revocations is not None
        self.service.revocations.close()
        self.console.close()
        await self.service.close()
        if self._jwks_source is not None:
            await self._jwks_source.close()
        if self.service.sources is not None:
            await self.service.sources.close()
        if self.origin is not None:
            await self.origin.close()
        await self.service.hub.close()
        if self.tracing is not None:
            await self.tracing.close()

    def reconfigure(self, settings: Settings, *, by_signal: bool = False) -> None:
        """Take the settings of a reload: all of them, or none. Requests under way keep their route.
        Holds and streams that may rest on a lost right end, and so do XMPP sessions; their clients
        ask again, and are authorised by the new settings.

        Args:
            settings: the settings of the start, with other values for those that can be reloaded.
            by_signal: whether the cause is a signal; requests have audit records of their own.

        Raises:
            TokenKeyError: a token key does not suit its algorithm; nothing has changed.
        """
        routes = None if self.origin is None else Routes(settings)
        closed = closed_channels(self.settings, settings)
        self.service.authority.configure(settings)
        # From here on nothing fails.
        if self.origin is not None and routes is not None:
            self.origin.configure(routes, settings)
        if self.xmpp is not None:
            self.xmpp.configure(settings)
        self.settings = settings
        self.service.configure(settings)
        if self._jwks_source is not None:
            self._jwks_source.refresh()
        if self.service.sources is not None:
            self.service.sources.configure(settings.sources)
        if closed is not None:
            release(self.service.hub, closed)
        assert self.service.revocations is not None
        self.service.revocations.end_by_grants()
        log.info("settings.reloaded", routes=len(settings.routes), keys=len(settings.api_keys))
        if by_signal:
            actor = AuditActor("signal", "SIGHUP")
            self.service.audit.record(SETTINGS_RELOAD, actor, target_type="settings")

    def reload_failed(self, error: str) -> None:
        """Record that a signal asked for a reload, and that the settings were rejected."""
        self.service.audit.record(
            SETTINGS_RELOAD,
            AuditActor("signal", "SIGHUP"),
            target_type="settings",
            outcome="failed",
            reason="settings-rejected",
            detail=error,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await logged(self._access_log, scope, receive, send, self._serve)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if self.guard is not None and await refused(
                self.endpoints, self.guard, scope, receive, send, own=not self._is_of_origin(scope)
            ):
                return
            if await handled(self.endpoints, scope, receive, send):
                return
            if self.origin is not None and self._is_of_origin(scope):
                await AsgiProxy(self.origin, self.endpoints, scope, receive, send).run()
                return
        await self.pages(scope, receive, send)

    def _is_of_origin(self, scope: Scope) -> bool:
        """Whether the origin serves a request, not pushhub itself."""
        return self.origin is not None and self.origin.owns(route_path(scope))


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
        loaded = load()
        if loaded.ignored:
            log.warning("environment.ignored", warning=loaded.ignored)
        settings = loaded.settings
        if (refusal := settings.refusal()) is None:
            return App(settings)
    except (SettingsError, TokenKeyError) as error:
        refusal = str(error)
    raise SystemExit(f"pushhub: {refusal}")
