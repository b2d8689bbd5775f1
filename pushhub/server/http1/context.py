"""State that all connections of a listener share: the hub, the endpoints, parsers and caches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pushhub.api.access_log import access_log
from pushhub.api.cors import SAME_ORIGIN
from pushhub.hub.wheel import OFF
from pushhub.server.http1.head import HeadParser
from pushhub.server.http1.header_lines import HeaderLinesTable
from pushhub.server.http1.proxy import OriginProxy
from pushhub.server.http1.request_cache import (
    MAX_HEADERS_BYTES,
    GenerationCache,
    PollCache,
    SharedRequestCache,
    raw_size,
)
from pushhub.server.http1.uvicorn_request import UvicornRequest
from pushhub.server.unix_socket import LOCAL_ADDRESS

if TYPE_CHECKING:
    import asyncio
    from typing import Protocol

    from uvicorn.config import Config
    from uvicorn.server import ServerState

    from pushhub.api.control import Control
    from pushhub.app import App
    from pushhub.auth.caller import Caller
    from pushhub.canary.listener import CanaryListener
    from pushhub.http.byte_budget import ByteLease
    from pushhub.server.http1.head import Head
    from pushhub.server.http1.interfaces import (
        ClientConnection,
        Guest,
        ReaderInterface,
        WriterInterface,
    )
    from pushhub.server.http1.proxy import ProxyHost
    from pushhub.server.http1.uvicorn_request import UvicornHost

    class GuestHost(ProxyHost, UvicornHost, Protocol):
        """The interface of a connection to its guest, for both kinds of guests."""


# The Date header has seconds.
REFRESH_SECONDS = 1.0


class ConnectionContext:
    """The shared state of a listener's connections, with one reader and one writer for all."""

    reader: ReaderInterface
    writer: WriterInterface
    config: Config
    server_state: ServerState
    app_state: dict[str, Any]

    def __init__(self, app: App | Control | CanaryListener) -> None:
        self.endpoints = app.endpoints
        self.service = app.service
        self.hub = app.service.hub
        self.origin = app.origin
        self.guard = app.guard
        self.callers = app.callers
        self.poll_cache = PollCache(app.endpoints)
        self._parser = HeadParser(passing=app.origin is not None)
        self._heads: GenerationCache[Head] = GenerationCache(raw_size)
        self.header_lines = HeaderLinesTable(self.hub.clock())
        self.lines = self.header_lines.of(SAME_ORIGIN)
        settings = app.settings
        self.proxies = app.service.proxies
        self.access_log = access_log(app.service)
        resources = None if app.origin is None else app.origin.resources
        self.shared_request_cache = None if resources is None else SharedRequestCache(resources)
        self.head_seconds = settings.head_seconds
        self.body_seconds = settings.body_seconds
        self.min_body_rate = settings.min_body_rate
        self.keep_alive_seconds = settings.keep_alive_seconds
        self.write_seconds = settings.write_seconds
        # The hub's time at the last refresh: precise enough for keep-alive, and cheap to read.
        self.coarse_now = 0.0
        self.tick = OFF
        app.service.forget_rights.append(self.forget_rights)

    def forget_rights(self) -> None:
        """Clear the caches of polls, which were authorised by the settings before a reload."""
        self.poll_cache = PollCache(self.endpoints)
        if not hasattr(self, "server_state"):
            return  # No connection has come yet.
        for connection in self.server_state.connections:
            if hasattr(connection, "client_headers"):
                connection.client_headers = None

    def start(self, config: Config, server_state: ServerState, app_state: dict[str, Any]) -> None:
        """Start with the first connection, which brings uvicorn's objects."""
        self.config, self.server_state, self.app_state = config, server_state, app_state
        self.wheel = self.hub.wheel
        self.now = self.hub.now
        self.refresh()

    def head(self, raw: bytes) -> Head:
        """Parse a head. Publishers repeat the same bytes, which are parsed once.

        Raises:
            Problem: the head is malformed, ambiguous, or over a limit.
        """
        head = self._heads.get(raw)
        if head is None:
            head = self._parser.parse(raw)
            if len(raw) <= MAX_HEADERS_BYTES:
                self._heads.put(raw, head)
        return head

    def lease(self, connection: ClientConnection) -> ByteLease:
        """The bytes of a connection's incomplete request. Its client is known from a whole head."""
        client, head = connection.client, connection.head
        if head is not None:
            client = self.proxies.client(client, head.headers)
        return self.service.lease(client)

    def local_address(self, transport: asyncio.Transport) -> str:
        """The address of a peer without one: a client of a Unix socket is on this machine."""
        return LOCAL_ADDRESS if isinstance(transport.get_extra_info("sockname"), str) else ""

    # Limits

    def admit(self, connection: ClientConnection) -> None:
        """Find how limits count a new connection, and count it. One too many gets the refusal, and
        is closed: a flood must not keep its sockets until it has read that.

        Of a trusted proxy's connection each request names its own client.
        """
        callers = self.callers
        if callers is None:
            return
        peer = connection.client
        if self.proxies.trusts(peer):
            connection.network = None
            return
        network = callers.network(peer)
        if not network:
            return
        limits = callers.limits
        refusal = limits.acquire("address-connections", network)
        if refusal is None and (refusal := limits.admit("address-connects", network)):
            limits.release("address-connections", network)
        if refusal is None:
            connection.network = network
        else:
            connection.keep = False
            problem = refusal.problem()
            if self.service.bosh is not None:
                # It may be a BOSH session's, and Strophe.js ends its session at a 4xx.
                problem.retried()
            self.writer.respond(connection, self.service.refuse(problem))

    def released(self, connection: ClientConnection) -> None:
        """A connection has ended, or is another protocol's."""
        if connection.network and self.callers is not None:
            self.callers.limits.release("address-connections", connection.network)
            connection.network = ""

    def caller(self, connection: ClientConnection, forwarded: str | None) -> Caller | None:
        """The client of a request by its address; None if no limit counts that. `forwarded` is the
        header X-Forwarded-For.
        """
        network, callers = connection.network, self.callers
        if network == "" or callers is None:
            return None
        if network is None:
            headers = {} if forwarded is None else {"x-forwarded-for": forwarded}
            network = callers.network(self.proxies.client(connection.client, headers))
        return callers.of(network)

    def expire(self) -> None:
        """A second has passed: refresh date and time, as long as there are connections."""
        self.refresh()
        if not self.server_state.connections:
            self.wheel.clear(self)

    def refresh(self) -> None:
        """Update the `Date` header and the coarse time, and schedule the next refresh."""
        self.header_lines.refresh(self.hub.clock())
        self.coarse_now = self.now()
        self.wheel.set(self, self.coarse_now + REFRESH_SECONDS)

    # Guests

    def guest(self, host: GuestHost, head: Head) -> tuple[Guest, bool]:
        """The guest that serves a request, and whether it is the proxy to the origin."""
        if self.origin is not None and self.origin.owns(head.path):
            return OriginProxy(host, self.origin), True
        return UvicornRequest(host, self.config, self.server_state, self.app_state), False

    def uvicorn_upgrades(self, head: Head) -> bool:
        """Whether uvicorn handles the WebSocket of this request. The origin's are tunnelled."""
        if self.origin is not None and self.origin.owns(head.path):
            return False
        return self.config.ws_protocol_class is not None

    def hand_to_uvicorn(self, connection: ClientConnection, raw: bytes) -> None:
        """Give a connection to uvicorn's own protocol permanently, with its unread bytes."""
        transport, rest = connection.transport, self.detach(connection)
        protocol = HttpToolsProtocol(self.config, self.server_state, self.app_state)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        protocol.data_received(raw + rest)

    def detach(self, connection: ClientConnection) -> bytes:
        """Remove a connection whose transport gets another protocol; returns its unread bytes."""
        self.server_state.connections.discard(connection)
        self.wheel.clear(connection)
        self.released(connection)
        connection.head = None
        rest, connection.buffer = connection.buffer, b""
        return rest
