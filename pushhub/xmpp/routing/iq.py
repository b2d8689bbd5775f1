"""Where an iq goes (RFC 6120 §8.2.3, RFC 6121 §8): to an extension, or to another session. Every
one is answered: a client waits for it.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING

from pushhub.xmpp.model.extension import IqTarget, Query
from pushhub.xmpp.model.stanza import IQ_TYPES, StanzaError, result
from pushhub.xmpp.storage.blocklist import block_name, blocks, own_block

if TYPE_CHECKING:
    from pushhub.xml import Element
    from pushhub.xmpp.model.extension import Answered, Handler
    from pushhub.xmpp.model.jid import Jid
    from pushhub.xmpp.routing.session import XmppSession
    from pushhub.xmpp.server import XmppServer


# Where somebody else is asked: an account cannot block itself, or its own server.
_OTHERS = frozenset({IqTarget.OTHER, IqTarget.PUBSUB})


class IqRouter:
    """Routes iqs."""

    def __init__(self, server: XmppServer) -> None:
        self._server = server
        self._handlers: dict[tuple[IqTarget, str, str, str], Handler] = {}
        for extension in server.extensions:
            for (places, *key), handler in extension.handlers.items():
                for place in places:
                    kind, namespace, name = key
                    self._handlers[place, kind, namespace, name] = handler

    def receive(
        self, session: XmppSession, iq: Element, to: Jid | None
    ) -> Coroutine[None, None, None] | None:
        """Handle a client's iq, whose `from` is stamped.

        Raises:
            StanzaError: its answer is an error.
        """
        kind = iq.get("type")
        if kind not in IQ_TYPES or not iq.get("id"):
            raise StanzaError("bad-request", "An iq has an id, and a type: get or set.")
        if to is not None and to.resource and to.local:
            return self._pass_on(session, iq, to)
        if kind in ("result", "error"):
            return None  # An answer to what this server asked, or to nothing.
        payloads = iq.elements
        if len(payloads) != 1:
            raise StanzaError("bad-request", "An iq of type get or set has one element in it.")
        payload = payloads[0]
        place = self._place(session, to)
        handler = self._handlers.get((place, kind, payload.namespace, payload.name))
        query = Query(self._server, session, iq, payload, to)
        if place in _OTHERS:
            return self._ask(query, handler)
        if place is IqTarget.REMOTE:
            raise StanzaError(
                "remote-server-not-found", "This server does not federate with other servers."
            )
        return self._handle(query, handler)

    def _handle(self, query: Query, handler: Handler | None) -> Coroutine[None, None, None] | None:
        if handler is None:
            raise StanzaError("service-unavailable")
        answered = handler(query)
        if isinstance(answered, Coroutine):
            return self._later(query, answered)
        self._answer(query, answered)
        return None

    async def _later(self, query: Query, answered: Coroutine[None, None, Answered]) -> None:
        self._answer(query, await answered)

    async def _ask(self, query: Query, handler: Handler | None) -> None:
        """Answer for somebody else, if neither has blocked the other."""
        assert query.to is not None
        await self._check_blocks(query.session, query.to)
        later = self._handle(query, handler)
        if later is not None:
            await later

    def _answer(self, query: Query, answered: Answered) -> None:
        children = () if answered is None else (answered,)
        query.session.send(result(query.iq, *children))

    def _place(self, session: XmppSession, to: Jid | None) -> IqTarget:
        server = self._server
        if to is None or to.bare == session.jid.bare:
            return IqTarget.ACCOUNT
        if to.domain in server.services:
            return IqTarget.PUBSUB
        if to.domain not in server.domains:
            return IqTarget.REMOTE
        return IqTarget.OTHER if to.local else IqTarget.DOMAIN

    def _pass_on(
        self, session: XmppSession, iq: Element, to: Jid
    ) -> Coroutine[None, None, None] | None:
        """Bring an iq to another session; whoever it is for answers."""
        server = self._server
        if to.domain not in server.domains:
            if iq.get("type") in ("get", "set"):
                raise StanzaError(
                    "remote-server-not-found", "This server does not federate with other servers."
                )
            return None
        return self._unless_blocked(session, iq, to)

    async def _unless_blocked(self, session: XmppSession, iq: Element, to: Jid) -> None:
        asks = iq.get("type") in ("get", "set")
        try:
            await self._check_blocks(session, to)
        except StanzaError:
            if asks:
                raise
            return
        if not await self._server.nodes.stanza(to, iq) and asks:
            raise StanzaError("service-unavailable")

    async def _check_blocks(self, session: XmppSession, to: Jid) -> None:
        """Return if neither side has blocked the other (XEP-0191 §3.3).

        Raises:
            StanzaError: one has. Who is blocked is told that there is nobody.
        """
        registers, own = self._server.registers, block_name(session.jid.bare)
        if not session.home.anonymous and blocks(await registers.event(own), to):
            raise own_block()
        if to.local and blocks(await registers.event(block_name(to.bare)), session.jid):
            raise StanzaError("service-unavailable")
