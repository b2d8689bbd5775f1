"""uvicorn's own protocol as a guest on our connection: it serves one request, and we go on.

What the endpoints do not answer (pages, whatever somebody mounts) is ASGI's business. uvicorn's
protocol gets the bytes of that one request, and a transport that passes on what it writes; when its
response has ended it is shown out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    import asyncio

    from uvicorn.config import Config
    from uvicorn.server import ServerState

    from pushhub.server.http1.head import Head


class UvicornHost(Protocol):
    """Whose connection it is."""

    @property
    def transport(self) -> asyncio.Transport: ...
    def returned(self) -> None:
        """The guest's response has ended."""

    def closed(self, *, finished: bool) -> None:
        """The guest wants the connection closed, at the end of its response or in the middle."""

    def refused(self, detail: str) -> None:
        """The guest cannot read its request."""


class Lent:
    """The transport as the guest sees it: everything passes through, but closing asks the host."""

    __slots__ = ("_closing", "_guest", "_host")

    def __init__(self, host: UvicornHost, guest: UvicornRequest) -> None:
        self._host = host
        self._guest = guest
        self._closing = False

    def write(self, data: bytes) -> None:
        # What an application still says after its connection was closed is for nobody.
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
        self.connection_made(Lent(host, self))  # type: ignore[arg-type]
        # The host is in the list of connections; two would make a shutdown wait for one too many.
        self.connections.discard(self)

    def begin(self, head: Head, raw: bytes) -> None:
        """Read the head of the request."""
        if not raw.startswith(b"/", len(head.method) + 1):
            raw = head.in_origin_form()
        self.data_received(raw)

    def forward(self, raw: bytes, payload: bytes, *, done: bool) -> None:
        """Read more of its body."""
        self.data_received(raw)

    def cut(self) -> None:
        """The process ends. A page has a length or chunks, so what is missing shows."""

    @property
    def finished(self) -> bool:
        """Whether its response is complete."""
        return self.cycle is not None and self.cycle.response_complete

    def send_400_response(self, msg: str) -> None:
        # Our parser and uvicorn's are the same, so this needs a request that one of them took apart
        # and the other did not.
        host, self._host = self._host, None
        if host is not None:
            host.refused(msg)

    def _unsupported_upgrade_warning(self) -> None:
        """Offers of another protocol are no news: `curl --http2` makes one with every request."""

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._unset_keepalive_if_required()
        host, self._host = self._host, None
        if host is not None:
            host.returned()
