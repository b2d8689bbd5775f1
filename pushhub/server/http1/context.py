"""What all connections of a process share. One is made at the start, and is what uvicorn calls for
each connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pushhub.api.cors import SAME_ORIGIN
from pushhub.http.forwarded import TrustedProxies
from pushhub.hub.wheel import OFF
from pushhub.server.http1.connection import Connection
from pushhub.server.http1.head import HeadParser
from pushhub.server.http1.proxy import OriginProxy
from pushhub.server.http1.request_cache import MAX_HEADERS_BYTES, Generations, RequestCache
from pushhub.server.http1.resource_cache import ResourceCache
from pushhub.server.http1.response_headers import Extras
from pushhub.server.http1.uvicorn_request import UvicornRequest
from pushhub.server.unix_socket import LOCAL_ADDRESS

if TYPE_CHECKING:
    import asyncio

    from uvicorn.config import Config
    from uvicorn.server import ServerState

    from pushhub.api.control import Control
    from pushhub.app import App
    from pushhub.server.http1.handoff import Handoff
    from pushhub.server.http1.head import Head

log = structlog.get_logger("pushhub.access")

# The Date header has seconds.
REFRESH_SECONDS = 1.0


class ConnectionContext:
    """The faces, the hub, the parser, what is remembered, and the header lines that change with
    time.
    """

    def __init__(self, app: App | Control) -> None:
        self.faces = app.faces
        self.service = app.service
        self.hub = app.service.hub
        self.origin = app.origin
        self.recall = RequestCache(app.faces)
        self._parser = HeadParser(passing=app.origin is not None)
        self._heads: Generations[Head] = Generations()
        self.extras = Extras(self.hub.clock())
        self.extra = self.extras.of(SAME_ORIGIN)
        settings = app.settings
        self.proxies = TrustedProxies(settings.trusted_proxies)
        self.access = self._log if settings.access_log else None
        resources = None if app.origin is None else app.origin.resources
        # Each request has its line in the log of requests, which says more than is remembered.
        self.repeats = None if resources is None or self.access else ResourceCache(resources)
        self.head_seconds = settings.head_seconds
        self.body_seconds = settings.body_seconds
        self.keep_alive_seconds = settings.keep_alive_seconds
        self.write_seconds = settings.write_seconds
        self.coarse = 0.0
        self.tick = OFF
        self.config: Config
        self.state: ServerState
        self.app_state: dict[str, Any]

    def __call__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> Connection:
        """A protocol for a new connection, as uvicorn asks for one."""
        if not self.tick:
            self.config, self.state, self.app_state = config, server_state, app_state
            self.wheel = self.hub.wheel
            self.now = self.hub.now
            self.refresh()
        return Connection(self)

    def head(self, raw: bytes) -> Head:
        """Parse a head; one that was seen before is what it was then. Publishers send the same
        again and again.

        Raises:
            Problem: it is malformed, ambiguous, or over a limit.
        """
        head = self._heads.get(raw)
        if head is None:
            head = self._parser.parse(raw)
            if len(raw) <= MAX_HEADERS_BYTES:
                self._heads.put(raw, head)
        return head

    def local_address(self, transport: asyncio.Transport) -> str:
        """The address of a peer that has none: a client of a Unix socket is on this machine."""
        return LOCAL_ADDRESS if isinstance(transport.get_extra_info("sockname"), str) else ""

    def expire(self) -> None:
        """A second has passed: refresh what changes with time, as long as there are connections."""
        self.refresh()
        if not self.state.connections:
            self.wheel.clear(self)

    def refresh(self) -> None:
        """Take the time, and again in a second."""
        self.extras.refresh(self.hub.clock())
        self.coarse = self.now()
        self.wheel.set(self, self.coarse + REFRESH_SECONDS)

    def guest(self, host: Handoff, head: Head) -> UvicornRequest | OriginProxy:
        """Who serves a request that no face answers."""
        if self.origin is not None and self.origin.owns(head.path):
            return OriginProxy(host, self.origin)
        return UvicornRequest(host, self.config, self.state, self.app_state)

    def takes_over(self, head: Head) -> bool:
        """Whether uvicorn speaks what a connection is to be upgraded to. The origin says so by
        itself.
        """
        if self.origin is not None and self.origin.owns(head.path):
            return False
        return self.config.ws_protocol_class is not None

    def hand_over(self, host: Handoff, raw: bytes, rest: bytes) -> None:
        """Give a connection away for good to uvicorn's own protocol, with what has arrived."""
        transport = host.transport
        protocol = HttpToolsProtocol(self.config, self.state, self.app_state)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        protocol.data_received(raw + rest)

    def _log(self, client: str, head: Head, status: int, size: int) -> None:
        log.info(
            "request", client=client, method=head.method, path=head.path, status=status, bytes=size
        )
