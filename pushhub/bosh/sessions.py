"""The interface between HTTP and BOSH: pending requests, and the endpoint of all sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pushhub.bosh.body import BoshBody


class PendingRequest(Protocol):
    """An HTTP request that gets one response, now or later. It is a session's `handle`."""

    secure: bool
    """Whether it may carry a password: it arrived over TLS, as far as this process knows, or from
    this machine."""
    client: str
    """The client's address."""

    def respond(self, body: bytes, status: int, content: str) -> None:
        """Send the response; `content` is the Content-Type that the session's client requested
        [C11]."""


class BoshEndpoint(Protocol):
    """All sessions of a server, on this node and on others."""

    def create(self, body: BoshBody, raw: bytes, request: PendingRequest) -> None:
        """Create the session that a creation request asks for.

        Raises:
            BindingError: the session is refused; the error is the response.
        """

    def request(self, body: BoshBody, raw: bytes, request: PendingRequest) -> None:
        """Handle a request of the session `body.sid`. The response for an unknown session is
        item-not-found [K8].
        """

    def disconnected(self, request: PendingRequest) -> None:
        """The client of a request disconnected before the response."""
