"""An extension (a XEP): its iq handlers, and the features that it announces."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from pushhub.xml import Element

if TYPE_CHECKING:
    from pushhub.xmpp.context import Context
    from pushhub.xmpp.model.jid import Jid
    from pushhub.xmpp.routing.session import XmppSession


class IqTarget(Enum):
    """The addressee of an iq."""

    DOMAIN = "the domain"
    ACCOUNT = "the sender's own account, or no address"
    OTHER = "another account"
    PUBSUB = "the PubSub service"
    REMOTE = "a domain that this server does not serve"


DOMAIN = (IqTarget.DOMAIN,)
ACCOUNT = (IqTarget.ACCOUNT,)
PUBSUB = (IqTarget.PUBSUB,)
ACCOUNTS = (IqTarget.ACCOUNT, IqTarget.OTHER)
SERVER = (IqTarget.DOMAIN, IqTarget.ACCOUNT)


@dataclass(frozen=True, slots=True)
class IqRequest:
    """An iq of type get or set, and the session that sent it."""

    context: Context
    session: XmppSession
    iq: Element
    payload: Element
    to: Jid | None

    @property
    def account(self) -> Jid:
        """The account that the iq is about: the addressed one, or the sender's own."""
        return self.to if self.to is not None else self.session.user.jid


IqResult = Element | None
"""The content of the result."""

IqHandler = Callable[[IqRequest], IqResult | Coroutine[None, None, IqResult]]
"""Handles an iq. Raises `StanzaError` for an error response."""

HandlerKey = tuple[tuple[IqTarget, ...], str, str, str]
"""The addressees, the iq's type, and its payload's namespace and name."""


@dataclass(frozen=True, slots=True)
class Extension:
    """A XEP: its handlers, and its features in service discovery."""

    handlers: Mapping[HandlerKey, IqHandler] = field(default_factory=dict)
    domain_features: tuple[str, ...] = ()
    account_features: tuple[str, ...] = ()
