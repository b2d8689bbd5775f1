"""The seam between HTTP and the sessions: who asks, and who knows all sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pushhub.bosh.body import BoshBody


class Caller(Protocol):
    """An HTTP request that is answered once, now or later. It is a session's `handle`."""

    secure: bool
    """Whether it came over TLS, as far as that can be known here."""
    client: str
    """The address that it came from."""

    def answer(self, body: bytes, status: int, content: str) -> None:
        """Answer it; `content` is the Content-Type that the session's client wants [C11]."""


class BoshEndpoint(Protocol):
    """All sessions of a server, whichever node has them."""

    def open(self, body: BoshBody, raw: bytes, caller: Caller) -> None:
        """Begin the session that a creation request asks for.

        Raises:
            BindingError: there is none; the caller is answered with that.
        """

    def request(self, body: BoshBody, raw: bytes, caller: Caller) -> None:
        """Take a request of the session `body.sid`. If there is none, it is answered
        item-not-found [K8].
        """

    def gone(self, caller: Caller) -> None:
        """A caller's client has gone before its answer."""
