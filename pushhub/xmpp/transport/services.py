"""The two sides of a stream: the transport that carries it, and the parts of the server it uses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pushhub.xml import Element
    from pushhub.xmpp.context import Context
    from pushhub.xmpp.routing.router import StanzaRouter
    from pushhub.xmpp.sasl.login import SaslLogin
    from pushhub.xmpp.transport.binding import SessionBinder


class StreamTransport(Protocol):
    """Carries a stream's elements."""

    client: str
    """The address of the client's last request."""
    secure: bool
    """Whether that request may carry a password."""

    def send(self, payload: bytes) -> None:
        """Send one element to the client, after earlier ones. It is UTF-8, and declares the
        namespaces that it uses."""

    def pending(self) -> list[Element]:
        """The sent elements that the client may not have received."""

    def reclaim(self) -> tuple[Sequence[Element], Sequence[Element]]:
        """The stream is about to end: take back the elements that the client certainly did not
        receive, and those that it may not have received. Both are empty while the client waits for
        them."""

    def end(self, error: Element | None) -> None:
        """End the transport; `error` is the stream's `<stream:error/>`, if it has one. Elements
        sent before are still delivered."""


@dataclass(frozen=True, slots=True)
class StreamServices:
    """The parts of the server that all streams use."""

    context: Context
    router: StanzaRouter
    login: SaslLogin
    binder: SessionBinder
    caps_version: str
