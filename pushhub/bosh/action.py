"""The actions of a session, which are performed in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pushhub.bosh.body import BoshBody
    from pushhub.xml import Element


class Respond(NamedTuple):
    """Send the response to the HTTP request that `handle` identifies."""

    handle: object
    body: bytes
    status: int = 200


class Deliver(NamedTuple):
    """Pass the client's elements to its stream, in the order in which the client sent them."""

    elements: tuple[Element, ...]


class Restart(NamedTuple):
    """The client restarts its stream, after SASL [P8]; `body` has `to` and `xml:lang`."""

    body: BoshBody


class Ended(NamedTuple):
    """The session has ended, and can be deleted. This is the last action, and unique."""

    reason: str
    """A condition of XEP-0124 §17.2, or `terminated`, or `inactivity`, or the server's reason."""
    undelivered: tuple[Element, ...]
    """The elements that no response carried [P14]."""
    unconfirmed: tuple[Element, ...]
    """The elements in responses that the client may not have received: the client vanished."""


Action = Respond | Deliver | Restart | Ended
