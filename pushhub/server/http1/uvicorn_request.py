"""uvicorn's own protocol as a guest of a connection, for one request.

ASGI serves the requests without an endpoint: pages and mounted applications. uvicorn's protocol
gets the bytes of one request, and a transport that passes on its writes. When its response has
ended, the connection reads its next request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    import asyncio

    from uvicorn.config import Config
    from uvicorn.server import ServerState

    from pushhub.http.problem import Problem
    from pushhub.server.http1.head import Head


class UvicornHost(Protocol):
    """The connection, for uvicorn's protocol."""

    @property
    def transport(self) -> asyncio.Transport: ...
    def response_ended(self) -> None:
        """The guest's response has ended."""

    def closed(self, *, finished: bool) -> None:
        """The guest closes the connection, after its response or during it."""

    def parse_failed(self, detail: str) -> None:
        """The guest's parser rejects its request."""


class GuestTransport:
    """The transport for uvicorn's protocol. Writes pass through; the host decides about a close."""

    __slots__ = ("_closing", "_guest", "_host")

    def __init__(self, host: UvicornHost, guest: UvicornRequest) -> None:
        self._host = host
        self._guest = guest
        self._closing = False

    def write(self, data: bytes) -> None:
        # Writes of an application after a close are discarded.
        if not self._closing:
            self._host.transport.write(data)

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._host.closed(finished=self._guest.finished)

    def is_closing(self) -> bool:
        return self._closing or self._host.transport.is_closing()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._host.transport, name)


class UvicornRequest(HttpToolsProtocol):
    """uvicorn's protocol for one request."""

    def __init__(
        self, host: UvicornHost, config: Config, state: ServerState, app_state: dict[str, Any]
    ) -> None:
        super().__init__(config=config, server_state=state, app_state=app_state)
        self._host: UvicornHost | None = host
        self.connection_made(GuestTransport(host, self))  # type: ignore[arg-type]
        # The list of connections has the host already; with two entries a shutdown would wait.
        self.connections.discard(self)

    def begin(self, head: Head, raw: bytes) -> None:
        """Parse the head of the request."""
        if not raw.startswith(b"/", len(head.method) + 1):
            raw = head.in_origin_form()
        self.data_received(raw)

    def forward(self, raw: bytes, payload: bytes, *, done: bool) -> None:
        """Parse more of the body."""
        self.data_received(raw)

    def fail(self, problem: Problem) -> None:
        """The client's body is too slow. uvicorn would have to end its application first."""
        self.transport.abort()

    def abort_unfinished(self) -> None:
        """The process exits. A page has a length or chunks, so a truncated one is recognised."""

    @property
    def finished(self) -> bool:
        """Whether its response is complete."""
        return self.cycle is not None and self.cycle.response_complete

    def send_400_response(self, msg: str) -> None:
        # Both parsers are llhttp, so this needs a request that only one of them accepts.
        host, self._host = self._host, None
        if host is not None:
            host.parse_failed(msg)

    def _unsupported_upgrade_warning(self) -> None:
        """Log no warning: `curl --http2` offers an upgrade with every request."""

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._unset_keepalive_if_required()
        host, self._host = self._host, None
        if host is not None:
            host.response_ended()
