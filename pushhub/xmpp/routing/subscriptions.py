"""Subscriptions to presence (RFC 6121 §3): asked for, granted, refused, given up.

Both sides are accounts of this server, so a request changes both rosters: first the sender's, then
the other's; and what the second change makes of it decides whether its sessions are told.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pushhub.xml import Element
from pushhub.xmpp.model.jid import parse_jid
from pushhub.xmpp.model.namespaces import CLIENT
from pushhub.xmpp.model.stanza import StanzaError
from pushhub.xmpp.routing.messages import account_name
from pushhub.xmpp.storage.blocklist import block_name, blocks, own_block
from pushhub.xmpp.storage.roster import RosterItem

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from pushhub.xmpp.model.jid import Jid
    from pushhub.xmpp.routing.session import XmppSession
    from pushhub.xmpp.server import XmppServer

TYPES = frozenset({"subscribe", "subscribed", "unsubscribe", "unsubscribed"})

# A request is kept in the roster until it is answered. A nickname (XEP-0172) and a sentence fit.
MAX_REQUEST = 2000

# RFC 6121 appendix A.2: what sending does with the sender's own entry. None: nothing is sent.
SENDING: dict[str, Callable[[RosterItem], RosterItem]] = {
    "subscribe": lambda e: replace(e, ask=not e.to, listed=True),
    "unsubscribe": lambda e: replace(e, to=False, ask=False),
    "subscribed": lambda e: replace(e, of=True, wanted="", listed=True) if e.wanted else e,
    "unsubscribed": lambda e: replace(e, of=False, wanted=""),
}

# Appendix A.3: what receiving does with the receiver's entry.
RECEIVING: dict[str, Callable[[RosterItem], RosterItem]] = {
    "unsubscribe": lambda e: replace(e, of=False, wanted=""),
    "subscribed": lambda e: replace(e, to=True, ask=False) if e.ask else e,
    "unsubscribed": lambda e: replace(e, to=False, ask=False),
}


class Subscriptions:
    """Handles the four types of presence that subscribe and unsubscribe."""

    def __init__(self, server: XmppServer) -> None:
        self._server = server

    def send(
        self, session: XmppSession, kind: str, stanza: Element, to: Jid | None
    ) -> Coroutine[None, None, None]:
        """Handle what a session sends.

        Raises:
            StanzaError: it cannot be sent.
        """
        server = self._server
        if to is None or to.bare == session.jid.bare:
            raise StanzaError("bad-request", "An account cannot subscribe to its own presence.")
        if session.home.anonymous:
            raise StanzaError("not-allowed", "A temporary account has no contacts.")
        if to.domain not in server.domains or not to.local:
            raise StanzaError(
                "remote-server-not-found", "This server does not federate with other servers."
            )
        return self._send(session.jid.bare, kind, stanza, to)

    async def _send(self, sender: str, kind: str, stanza: Element, to: Jid) -> None:
        server = self._server
        opens = kind in ("subscribe", "subscribed")
        if opens and blocks(await server.registers.event(block_name(sender)), to):
            raise own_block()  # To part from somebody who is blocked is allowed.
        before, _ = await server.rosters.change(
            sender, to.bare, lambda entry: _kept(SENDING[kind](entry))
        )
        if kind == "subscribed" and not before.wanted:
            return  # There was no request (RFC 6121 §3.1.5 allows to keep it; we do not).
        sent = stanza.having({"from": sender, "to": to.bare})
        await self.bring(sender, kind, sent, to.bare)
        if kind == "subscribed" and not before.of:
            await server.nodes.notify(sender, "show", to=to.bare)
        elif kind == "unsubscribed" and before.of:
            await server.nodes.notify(sender, "hide", to=to.bare)

    async def bring(self, sender: str, kind: str, stanza: Element, to: str) -> None:
        """Handle it on the receiver's side (RFC 6121 §3.1.3, §3.1.6, §3.2.3, §3.3.3)."""
        server = self._server
        known = await server.registers.event(account_name(parse_jid(to)))
        blocked = await server.registers.event(block_name(to))
        if known is None or blocks(blocked, parse_jid(sender)):
            if kind == "subscribe":
                # As if they had refused: nobody learns who exists (RFC 6121 §3.1.3).
                await self.bring(to, "unsubscribed", _presence("unsubscribed", to, sender), sender)
            return
        if kind == "subscribe":
            await self._asked(sender, stanza, to)
            return
        before, after = await server.rosters.change(
            to, sender, lambda entry: _kept(RECEIVING[kind](entry))
        )
        if before == (after or RosterItem(listed=False)):
            return  # It changes nothing, so nobody is told.
        await server.nodes.notify(to, "presence", xml=stanza.xml())
        if kind == "unsubscribe" and before.of:
            await server.nodes.notify(to, "hide", to=sender)

    async def _asked(self, sender: str, stanza: Element, to: str) -> None:
        server = self._server
        xml = stanza.xml()
        if len(xml) > MAX_REQUEST:
            # A stranger must not fill somebody's roster, which is one register.
            xml = stanza.holding().xml()

        def make(entry: RosterItem) -> RosterItem:
            return entry if entry.of else replace(entry, wanted=xml)

        before, _ = await server.rosters.change(to, sender, make)
        if before.of:
            answer = _presence("subscribed", to, sender)
            await self.bring(to, "subscribed", answer, sender)
            await server.nodes.notify(to, "show", to=sender)
        elif not before.wanted:
            await server.nodes.notify(to, "presence", xml=xml)

    async def forget(self, session: XmppSession, bare: str) -> None:
        """Remove somebody from the roster (RFC 6121 §2.5): what there was in either direction ends.

        Raises:
            StanzaError: they are not in it.
        """
        sender = session.jid.bare
        before, _ = await self._server.rosters.change(sender, bare, lambda entry: None)
        if not before.listed:
            raise StanzaError("item-not-found", "There is no such contact.")
        jid = parse_jid(bare)
        if jid.domain not in self._server.domains or not jid.local:
            return
        if before.to or before.ask:
            await self.bring(sender, "unsubscribe", _presence("unsubscribe", sender, bare), bare)
        if before.of:
            await self.bring(sender, "unsubscribed", _presence("unsubscribed", sender, bare), bare)
            await self._server.nodes.notify(sender, "hide", to=bare)


def _presence(kind: str, sender: str, to: str) -> Element:
    return Element("presence", CLIENT, {"type": kind, "from": sender, "to": to})


def _kept(entry: RosterItem) -> RosterItem | None:
    """An entry, or None if it says nothing any more."""
    return None if entry == RosterItem(listed=False) else entry
