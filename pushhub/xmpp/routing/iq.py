"""Routing of iqs (RFC 6120 §8.2.3, RFC 6121 §8): to an extension, or to another session. Each
request gets a response, since its client waits for one.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING

from pushhub.xmpp.model.forgeries import PUSHES
from pushhub.xmpp.model.stanza import IQ_TYPES, StanzaError, result
from pushhub.xmpp.routing.extension import IqRequest, IqTarget
from pushhub.xmpp.storage.blocklist import blocked_by_sender, blocklist_key, blocks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pushhub.xml import Element
    from pushhub.xmpp.context import Context
    from pushhub.xmpp.model.jid import Jid
    from pushhub.xmpp.routing.cluster import Cluster
    from pushhub.xmpp.routing.extension import Extension, IqHandler, IqResult
    from pushhub.xmpp.routing.session import XmppSession


# Targets that can block or be blocked: an account cannot block itself, or its own server.
_BLOCKABLE = frozenset({IqTarget.OTHER, IqTarget.PUBSUB})


class IqRouter:
    """Routes iqs."""

    def __init__(self, context: Context, cluster: Cluster, extensions: Iterable[Extension]) -> None:
        self._context = context
        self._cluster = cluster
        self._handlers: dict[tuple[IqTarget, str, str, str], IqHandler] = {}
        for extension in extensions:
            for (targets, *key), handler in extension.handlers.items():
                for target in targets:
                    kind, namespace, name = key
                    self._handlers[target, kind, namespace, name] = handler

    def receive(
        self, session: XmppSession, iq: Element, to: Jid | None
    ) -> Coroutine[None, None, None] | None:
        """Handle a client's iq; its `from` is set.

        Raises:
            StanzaError: the response is an error.
        """
        kind = iq.get("type")
        if kind not in IQ_TYPES or not iq.get("id"):
            raise StanzaError("bad-request", "An iq has an id, and a type: get or set.")
        if to is not None and to.resource and to.local:
            return self._forward(session, iq, to)
        if kind in ("result", "error"):
            return None  # A response to a request of this server, or to none.
        payloads = iq.elements
        if len(payloads) != 1:
            raise StanzaError("bad-request", "An iq of type get or set has one element in it.")
        payload = payloads[0]
        target = self._target(session, to)
        handler = self._handlers.get((target, kind, payload.namespace, payload.name))
        request = IqRequest(self._context, session, iq, payload, to)
        if target in _BLOCKABLE:
            return self._handle_unless_blocked(request, handler)
        if target is IqTarget.REMOTE:
            raise StanzaError(
                "remote-server-not-found", "This server does not federate with other servers."
            )
        return self._handle(request, handler)

    def _handle(
        self, request: IqRequest, handler: IqHandler | None
    ) -> Coroutine[None, None, None] | None:
        if handler is None:
            raise StanzaError("service-unavailable")
        handled = handler(request)
        if isinstance(handled, Coroutine):
            return self._respond_later(request, handled)
        self._respond(request, handled)
        return None

    async def _respond_later(
        self, request: IqRequest, handled: Coroutine[None, None, IqResult]
    ) -> None:
        self._respond(request, await handled)

    async def _handle_unless_blocked(self, request: IqRequest, handler: IqHandler | None) -> None:
        """Respond for another account, if neither has blocked the other."""
        assert request.to is not None
        await self._check_blocklists(request.session, request.to)
        later = self._handle(request, handler)
        if later is not None:
            await later

    def _respond(self, request: IqRequest, content: IqResult) -> None:
        children = () if content is None else (content,)
        request.session.send(result(request.iq, *children))

    def _target(self, session: XmppSession, to: Jid | None) -> IqTarget:
        context = self._context
        if to is None or to.bare == session.jid.bare:
            return IqTarget.ACCOUNT
        if to.domain in context.services:
            return IqTarget.PUBSUB
        if to.domain not in context.domains:
            return IqTarget.REMOTE
        return IqTarget.OTHER if to.local else IqTarget.DOMAIN

    def _forward(
        self, session: XmppSession, iq: Element, to: Jid
    ) -> Coroutine[None, None, None] | None:
        """Deliver an iq to another session; that session responds."""
        if to.domain not in self._context.domains:
            if iq.get("type") in ("get", "set"):
                raise StanzaError(
                    "remote-server-not-found", "This server does not federate with other servers."
                )
            return None
        pushes = any(element.namespace in PUSHES for element in iq.elements)
        if pushes and iq.get("type") == "set" and to.bare != session.jid.bare:
            # Only the server pushes these (RFC 6121 §2.1.6, XEP-0191 §3.3).
            raise StanzaError("service-unavailable")
        return self._forward_unless_blocked(session, iq, to)

    async def _forward_unless_blocked(self, session: XmppSession, iq: Element, to: Jid) -> None:
        is_request = iq.get("type") in ("get", "set")
        try:
            await self._check_blocklists(session, to)
        except StanzaError:
            if is_request:
                raise
            return
        if not await self._cluster.send_stanza(to, iq) and is_request:
            raise StanzaError("service-unavailable")

    async def _check_blocklists(self, session: XmppSession, to: Jid) -> None:
        """Return if neither side has blocked the other (XEP-0191 §3.3).

        Raises:
            StanzaError: one side has blocked the other. A blocked sender gets the error of an
                unavailable recipient.
        """
        kv, own = self._context.kv, blocklist_key(session.jid.bare)
        if not session.user.anonymous and blocks(await kv.event(own), to):
            raise blocked_by_sender()
        if to.local and blocks(await kv.event(blocklist_key(to.bare)), session.jid):
            raise StanzaError("service-unavailable")
