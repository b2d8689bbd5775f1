"""What an extension (a XEP) is: which iqs it answers and where, and which features it adds."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from pushhub.xml import Element

if TYPE_CHECKING:
    from pushhub.xmpp.model.jid import Jid
    from pushhub.xmpp.routing.session import XmppSession
    from pushhub.xmpp.server import XmppServer


class IqTarget(Enum):
    """What an iq is addressed to."""

    DOMAIN = "the domain"
    ACCOUNT = "the sender's own account, or nothing"
    OTHER = "somebody else's account"
    PUBSUB = "the PubSub service"
    REMOTE = "a domain that is not served here"


DOMAIN = (IqTarget.DOMAIN,)
ACCOUNT = (IqTarget.ACCOUNT,)
PUBSUB = (IqTarget.PUBSUB,)
ACCOUNTS = (IqTarget.ACCOUNT, IqTarget.OTHER)
SERVER = (IqTarget.DOMAIN, IqTarget.ACCOUNT)
ANYWHERE = (IqTarget.DOMAIN, IqTarget.ACCOUNT, IqTarget.OTHER, IqTarget.PUBSUB)


@dataclass(frozen=True, slots=True)
class Query:
    """An iq of type get or set, and who asks what."""

    server: XmppServer
    session: XmppSession
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

Key = tuple[tuple[IqTarget, ...], str, str, str]
"""Where, and the iq's type, and its element's namespace and name."""


@dataclass(frozen=True, slots=True)
class Extension:
    """A XEP: what it answers, and how it shows in service discovery."""

    handlers: Mapping[Key, Handler] = field(default_factory=dict)
    domain_features: tuple[str, ...] = ()
    account_features: tuple[str, ...] = ()
    begin: Callable[[XmppServer], None] | None = None
    """Called once with the server, for what is more than answering."""
