"""What a session wants done, in this order."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pushhub.bosh.body import BoshBody
    from pushhub.xml import Element


class Respond(NamedTuple):
    """Answer an HTTP request, the one that `handle` stands for."""

    handle: object
    body: bytes
    status: int = 200


class Deliver(NamedTuple):
    """Give the client's elements to its stream; they are in the order in which it sent them."""

    elements: tuple[Element, ...]


class Restart(NamedTuple):
    """The client begins its stream anew, after SASL [P8]; `body` has `to` and `xml:lang`."""

    body: BoshBody


class Ended(NamedTuple):
    """The session is over, and can be forgotten. This comes once, and is the last action."""

    reason: str
    """A condition of XEP-0124 §17.2, or `terminated`, `inactivity`, or what the server gave."""
    undelivered: tuple[Element, ...]
    """What no answer carried [P14]."""
    unconfirmed: tuple[Element, ...]
    """What answers carried that the client may not have got: it went without a word."""


Action = Respond | Deliver | Restart | Ended
