"""What an extension (a XEP) is: which iqs it answers and where, and which features it adds."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from pushhub.xml import Element

if TYPE_CHECKING:
    from pushhub.xmpp.model.jid import Jid
    from pushhub.xmpp.routing.session import Session
    from pushhub.xmpp.server import Server


class Place(Enum):
    """What an iq is addressed to."""

    DOMAIN = "the domain"
    ACCOUNT = "the sender's own account, or nothing"
    OTHER = "somebody else's account"
    PUBSUB = "the PubSub service"
    REMOTE = "a domain that is not served here"


DOMAIN = (Place.DOMAIN,)
ACCOUNT = (Place.ACCOUNT,)
PUBSUB = (Place.PUBSUB,)
ACCOUNTS = (Place.ACCOUNT, Place.OTHER)
SERVER = (Place.DOMAIN, Place.ACCOUNT)
ANYWHERE = (Place.DOMAIN, Place.ACCOUNT, Place.OTHER, Place.PUBSUB)


@dataclass(frozen=True, slots=True)
class Query:
    """An iq of type get or set, and who asks what."""

    server: Server
    session: Session
    iq: Element
    payload: Element
    to: Jid | None

    @property
    def account(self) -> Jid:
        """The account that is asked: the addressed one, or the sender's own."""
        return self.to if self.to is not None else self.session.home.jid


Answered = Element | None
"""What is in the result."""

Handler = Callable[[Query], Answered | Coroutine[None, None, Answered]]
"""Answers an iq. Raises `StanzaError` to answer it with an error."""

Key = tuple[tuple[Place, ...], str, str, str]
"""Where, and the iq's type, and its element's namespace and name."""


@dataclass(frozen=True, slots=True)
class Extension:
    """A XEP: what it answers, and how it shows in service discovery."""

    handlers: Mapping[Key, Handler] = field(default_factory=dict)
    domain_features: tuple[str, ...] = ()
    account_features: tuple[str, ...] = ()
    begin: Callable[[Server], None] | None = None
    """Called once with the server, for what is more than answering."""
