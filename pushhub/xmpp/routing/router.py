"""The way of a stanza from a client's session to the router of its kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.xml import Element
from pushhub.xmpp.model.forgeries import without_forgeries
from pushhub.xmpp.model.jid import JidError, parse_jid
from pushhub.xmpp.model.stanza import StanzaError, StreamError, check_stanza

if TYPE_CHECKING:
    from collections.abc import Container, Coroutine

    from pushhub.xmpp.model.jid import Jid
    from pushhub.xmpp.routing.iq import IqRouter
    from pushhub.xmpp.routing.messages import MessageRouter
    from pushhub.xmpp.routing.presence import PresenceRouter
    from pushhub.xmpp.routing.session import XmppSession
    from pushhub.xmpp.routing.stanza_rates import StanzaRates


class StanzaRouter:
    """Checks a stanza's addresses, sets its `from`, and passes it to its router.

    Args:
        own: the domains of this server.
    """

    __slots__ = ("_iqs", "_messages", "_own", "_presence", "rates")

    def __init__(
        self,
        own: Container[str],
        rates: StanzaRates,
        messages: MessageRouter,
        presence: PresenceRouter,
        iqs: IqRouter,
    ) -> None:
        self.rates = rates
        self._own = own
        self._messages = messages
        self._presence = presence
        self._iqs = iqs

    def receive(self, session: XmppSession, element: Element) -> Coroutine[None, None, None] | None:
        """Handle a client's stanza; None if that is complete, else a coroutine to await.

        Raises:
            StanzaError: the response is an error.
            StreamError: the stream ends.
        """
        check_stanza(element)
        sender = element.get("from")
        if sender is not None:
            _check_sender(session, sender)
        recipient = element.get("to")
        attributes = {**element.attributes, "from": session.jid.text}
        to = None
        if recipient is not None:
            to = _parse_recipient(recipient)
            attributes["to"] = to.text
        stanza = Element(element.name, element.namespace, attributes, element.children)
        if stanza.name != "iq":
            stanza = without_forgeries(stanza, session.jid, self._own)
        if to is not None:
            self.rates.check_pair(session, stanza, to)
        match stanza.name:
            case "message":
                return self._messages.send(session, stanza, to or session.user.jid)
            case "presence":
                return self._presence.receive(session, stanza, to)
        return self._iqs.receive(session, stanza, to)


def _check_sender(session: XmppSession, sender: str) -> None:
    """Refuse a foreign sender address (RFC 6120 §8.1.2.1). COMPAT: Converse.js sends its own bare
    or full address."""
    own = session.jid
    if sender in (own.text, own.bare):
        return
    try:
        jid = parse_jid(sender)
    except JidError:
        jid = None
    if jid is None or jid.bare != own.bare or jid.resource not in ("", own.resource):
        raise StreamError("invalid-from", "A stanza is from the address that was bound.")


def _parse_recipient(recipient: str) -> Jid:
    try:
        return parse_jid(recipient)
    except JidError as error:
        raise StanzaError("jid-malformed", str(error)) from None
