"""Subscriptions to presence (RFC 6121 §3): requested, approved, refused, cancelled.

Both sides are accounts of this server, so a request changes both rosters: first the sender's, then
the receiver's. The result of the second change decides whether the receiver's sessions are
notified.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pushhub.xml import Element
from pushhub.xmpp.model.jid import parse_jid
from pushhub.xmpp.model.namespaces import CLIENT
from pushhub.xmpp.model.stanza import StanzaError
from pushhub.xmpp.storage.blocklist import blocked_by_sender, blocklist_key, blocks
from pushhub.xmpp.storage.locations import account_key
from pushhub.xmpp.storage.roster import RosterItem

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from pushhub.xmpp.context import Context
    from pushhub.xmpp.model.jid import Jid
    from pushhub.xmpp.routing.cluster import Cluster
    from pushhub.xmpp.routing.session import XmppSession
    from pushhub.xmpp.storage.roster import Rosters

TYPES = frozenset({"subscribe", "subscribed", "unsubscribe", "unsubscribed"})

# The roster keeps a request until it has a reply. A nickname (XEP-0172) and a sentence fit.
MAX_REQUEST = 2000

# RFC 6121 appendix A.2: the change of the sender's entry.
SENDING: dict[str, Callable[[RosterItem], RosterItem]] = {
    "subscribe": lambda e: replace(e, ask=not e.to, listed=True),
    "unsubscribe": lambda e: replace(e, to=False, ask=False),
    "subscribed": lambda e: replace(e, of=True, wanted="", listed=True) if e.wanted else e,
    "unsubscribed": lambda e: replace(e, of=False, wanted=""),
}

# Appendix A.3: the change of the receiver's entry.
RECEIVING: dict[str, Callable[[RosterItem], RosterItem]] = {
    "unsubscribe": lambda e: replace(e, of=False, wanted=""),
    "subscribed": lambda e: replace(e, to=True, ask=False) if e.ask else e,
    "unsubscribed": lambda e: replace(e, to=False, ask=False),
}


class PresenceSubscriptions:
    """Handles the four types of presence that change subscriptions."""

    def __init__(self, context: Context, cluster: Cluster, rosters: Rosters) -> None:
        self._context = context
        self._cluster = cluster
        self._rosters = rosters

    def send(
        self, session: XmppSession, kind: str, stanza: Element, to: Jid | None
    ) -> Coroutine[None, None, None]:
        """Handle a session's request or reply.

        Raises:
            StanzaError: the stanza cannot be sent.
        """
        if to is None or to.bare == session.jid.bare:
            raise StanzaError("bad-request", "An account cannot subscribe to its own presence.")
        if session.user.anonymous:
            raise StanzaError("not-allowed", "A temporary account has no contacts.")
        if to.domain not in self._context.domains or not to.local:
            raise StanzaError(
                "remote-server-not-found", "This server does not federate with other servers."
            )
        return self._send(session.jid.bare, kind, stanza, to)

    async def _send(self, sender: str, kind: str, stanza: Element, to: Jid) -> None:
        opens = kind in ("subscribe", "subscribed")
        if opens and blocks(await self._context.kv.event(blocklist_key(sender)), to):
            raise blocked_by_sender()  # Ending a subscription to a blocked contact is allowed.
        before, _ = await self._rosters.update(
            sender, to.bare, lambda entry: _unless_empty(SENDING[kind](entry))
        )
        if kind == "subscribed" and not before.wanted:
            return  # There was no request (RFC 6121 §3.1.5 allows pre-approval; pushhub has none).
        sent = stanza.having({"from": sender, "to": to.bare})
        await self.receive(sender, kind, sent, to.bare)
        if kind == "subscribed" and not before.of:
            await self._cluster.notify(sender, "show", to=to.bare)
        elif kind == "unsubscribed" and before.of:
            await self._cluster.notify(sender, "hide", to=to.bare)

    async def receive(self, sender: str, kind: str, stanza: Element, to: str) -> None:
        """Handle the stanza for its receiver (RFC 6121 §3.1.3, §3.1.6, §3.2.3, §3.3.3)."""
        known = await self._context.kv.event(account_key(parse_jid(to)))
        blocked = await self._context.kv.event(blocklist_key(to))
        if known is None or blocks(blocked, parse_jid(sender)):
            if kind == "subscribe":
                # The reply is a refusal, so that it does not reveal which accounts exist (RFC 6121
                # §3.1.3).
                refusal = _presence("unsubscribed", to, sender)
                await self.receive(to, "unsubscribed", refusal, sender)
            return
        if kind == "subscribe":
            await self._receive_request(sender, stanza, to)
            return
        before, after = await self._rosters.update(
            to, sender, lambda entry: _unless_empty(RECEIVING[kind](entry))
        )
        if before == (after or RosterItem(listed=False)):
            return  # Nothing changed, so there is no notification.
        await self._cluster.notify(to, "presence", xml=stanza.xml())
        if kind == "unsubscribe" and before.of:
            await self._cluster.notify(to, "hide", to=sender)

    async def _receive_request(self, sender: str, stanza: Element, to: str) -> None:
        xml = stanza.xml()
        if len(xml) > MAX_REQUEST:
            # Other accounts must not fill a roster, which is one value.
            xml = stanza.holding().xml()

        def make(entry: RosterItem) -> RosterItem:
            return entry if entry.of else replace(entry, wanted=xml)

        before, _ = await self._rosters.update(to, sender, make)
        if before.of:
            approval = _presence("subscribed", to, sender)
            await self.receive(to, "subscribed", approval, sender)
            await self._cluster.notify(to, "show", to=sender)
        elif not before.wanted:
            await self._cluster.notify(to, "presence", xml=xml)

    async def remove_contact(self, session: XmppSession, bare: str) -> None:
        """Remove a contact from the roster, and end subscriptions in both directions (RFC 6121
        §2.5).

        Raises:
            StanzaError: the roster does not have the contact.
        """
        sender = session.jid.bare
        before, _ = await self._rosters.update(sender, bare, lambda entry: None)
        if not before.listed:
            raise StanzaError("item-not-found", "There is no such contact.")
        jid = parse_jid(bare)
        if jid.domain not in self._context.domains or not jid.local:
            return
        if before.to or before.ask:
            await self.receive(sender, "unsubscribe", _presence("unsubscribe", sender, bare), bare)
        if before.of:
            stanza = _presence("unsubscribed", sender, bare)
            await self.receive(sender, "unsubscribed", stanza, bare)
            await self._cluster.notify(sender, "hide", to=bare)


def _presence(kind: str, sender: str, to: str) -> Element:
    return Element("presence", CLIENT, {"type": kind, "from": sender, "to": to})


def _unless_empty(entry: RosterItem) -> RosterItem | None:
    """An entry, or None if it is empty."""
    return None if entry == RosterItem(listed=False) else entry
