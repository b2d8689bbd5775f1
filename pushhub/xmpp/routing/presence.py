"""Presence (RFC 6121 §4): the availability of sessions, sent to the contacts that may see it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pushhub.xml import Element, parse
from pushhub.xmpp.model.jid import Jid, parse_jid
from pushhub.xmpp.model.namespaces import CLIENT
from pushhub.xmpp.model.stanza import StanzaError
from pushhub.xmpp.routing.session import DIRECTED_BYTES, MAX_DIRECTED, MAX_DIRECTED_BYTES
from pushhub.xmpp.routing.subscriptions import TYPES, PresenceSubscriptions
from pushhub.xmpp.storage.blocklist import blocked_by_sender, blocklist_key, blocks

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Mapping

    from pushhub.log.event import Event
    from pushhub.xmpp.context import Context
    from pushhub.xmpp.routing.cluster import Cluster
    from pushhub.xmpp.routing.local_user import LocalUser
    from pushhub.xmpp.routing.session import XmppSession
    from pushhub.xmpp.storage.roster import Rosters

MAX_PRIORITY = 127
# The memory of a presence, which a session keeps: one with a status, an avatar's hash and
# capabilities takes about 3 kB.
MAX_PRESENCE_BYTES = 32 * 1024
_NUMBER = re.compile(r"[+-]?[0-9]{1,3}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Farewell:
    """The unavailable presence of a session, and who is to learn of it."""

    session: XmppSession
    stanza: Element
    directed: tuple[Jid, ...]
    """The addresses that received directed presence."""
    was_available: bool


class PresenceRouter:
    """Handles presence from sessions, and sends it to contacts."""

    def __init__(self, context: Context, cluster: Cluster, rosters: Rosters) -> None:
        self._context = context
        self._cluster = cluster
        self._rosters = rosters
        self.subscriptions = PresenceSubscriptions(context, cluster, rosters)
        cluster.on_notice("presence", _deliver)
        cluster.on_notice("probe", self._probed)
        cluster.on_notice("show", self._show)
        cluster.on_notice("hide", self._hide)

    def receive(
        self, session: XmppSession, stanza: Element, to: Jid | None
    ) -> Coroutine[None, None, None] | None:
        """Handle a client's presence; its `from` is set.

        Raises:
            StanzaError: the presence cannot be sent.
        """
        kind = stanza.get("type")
        if kind in TYPES:
            return self.subscriptions.send(session, kind, stanza, to)
        if kind == "probe":
            return None
        if kind == "error":
            return self._return_error(session, stanza, to)
        if kind not in (None, "unavailable"):
            raise StanzaError("bad-request", "RFC 6121 §4.7.1 lists the types of presence.")
        if to is not None:
            return self._send_directed(session, stanza, to)
        if kind == "unavailable":
            return self.withdraw(session, stanza)
        return self._announce(session, stanza)

    async def _announce(self, session: XmppSession, stanza: Element) -> None:
        """Send available presence to all contacts that may see it (RFC 6121 §4.2, §4.4)."""
        weight = stanza.weight
        if weight > MAX_PRESENCE_BYTES:
            raise StanzaError("policy-violation", "The presence is too large.")
        begins, session.presence_bytes = session.presence is None, weight
        priority = _priority(stanza)
        session.presence, session.priority = stanza.having({"to": None}), priority
        session.update_received()
        if session.user.anonymous:
            _deliver_to_self(session.user, session.presence)
            return
        if session.receives_messages:
            # First: a message that arrives now is later than the offline messages.
            await session.user.catch_up(session)
        await self._broadcast(session, session.presence)
        if begins:
            await self._probe(session)

    async def withdraw(self, session: XmppSession, stanza: Element) -> None:
        """Send unavailable presence to all addresses that saw the session (RFC 6121 §4.5)."""
        await self.send_farewell(self.farewell(session, stanza))

    def farewell(self, session: XmppSession, stanza: Element | None = None) -> Farewell:
        """Make a session unavailable. What its contacts are to learn is sent by `send_farewell`."""
        if stanza is None:
            attributes = {"type": "unavailable", "from": session.jid.text}
            stanza = Element("presence", CLIENT, attributes)
        directed = tuple(session.directed.values())
        session.directed.clear()
        session.directed_bytes = session.presence_bytes = 0
        was, session.presence = session.presence, None
        session.update_received()
        return Farewell(session, stanza, directed, was_available=was is not None)

    async def send_farewell(self, farewell: Farewell) -> None:
        """Tell the contacts. After a failure it can be called again.

        Raises:
            StoreError: the store is unavailable.
        """
        session, stanza = farewell.session, farewell.stanza
        for jid in farewell.directed:
            # Its own sessions: see below.
            if not farewell.was_available or jid.bare != session.jid.bare:
                await self._send(jid, stanza)
        if not farewell.was_available:
            return
        presence = stanza.having({"to": None})
        # RFC 6121 §4.5.2: to itself too, as long as it is connected.
        session.send(presence.having({"to": session.jid.text}))
        if session.user.anonymous:
            _deliver_to_self(session.user, presence)
        else:
            await self._broadcast(session, presence)

    async def _broadcast(self, session: XmppSession, presence: Element) -> None:
        bare, cluster = session.jid.bare, self._cluster
        roster = await self._rosters.get(bare)
        blocked = await self._context.kv.event(blocklist_key(bare))
        for other, entry in roster.entries.items():
            if entry.of and not await self._is_blocked(blocked, session.jid, parse_jid(other)):
                xml = presence.having({"to": other}).xml()
                await cluster.notify(other, "presence", xml=xml)
        # RFC 6121 §4.2.2, §4.4.2: to all available sessions of the account, this one too.
        own = presence.having({"to": bare}).xml()
        await cluster.notify(bare, "presence", xml=own, own="yes")

    async def _is_blocked(self, blocked: Event | None, own: Jid, other: Jid) -> bool:
        """Whether one side has blocked the other (XEP-0191 §3.3); `blocked` is the own list."""
        if blocks(blocked, other):
            return True
        return blocks(await self._context.kv.event(blocklist_key(other.bare)), own)

    async def _probe(self, session: XmppSession) -> None:
        """Request the presence of a new session's contacts, and deliver their requests to it."""
        bare = session.jid.bare
        roster = await self._rosters.get(bare)
        for other, entry in roster.entries.items():
            if entry.to:
                await self._cluster.notify(other, "probe", by=session.jid.text)
            if entry.wanted:
                session.write(entry.wanted.encode())
        await self._cluster.notify(bare, "probe", by=session.jid.text)

    def _show(self, user: LocalUser, data: Mapping[str, str]) -> None:
        """Send the presence of all sessions of an account to another account."""
        to = data["to"]
        self._context.spawn(
            self._send_all(
                to, [s.presence.having({"to": to}) for s in user.sessions.values() if s.presence]
            )
        )

    def _hide(self, user: LocalUser, data: Mapping[str, str]) -> None:
        """Send the unavailable presence of all sessions of an account to another account."""
        to = data["to"]
        hidden = [
            Element("presence", CLIENT, {"type": "unavailable", "from": s.jid.text, "to": to})
            for s in user.sessions.values()
            if s.presence is not None
        ]
        self._context.spawn(self._send_all(to, hidden))

    async def _send_all(self, to: str, presences: Iterable[Element]) -> None:
        for presence in presences:
            await self._cluster.notify(to, "presence", xml=presence.xml())

    def _probed(self, user: LocalUser, data: Mapping[str, str]) -> None:
        """Respond to a probe with the presence of all available sessions (RFC 6121 §4.3)."""
        by = parse_jid(data["by"])
        shown = [
            session.presence.having({"to": by.text})
            for session in user.sessions.values()
            if session.presence is not None and session.jid != by
        ]
        if shown:
            self._context.spawn(self._respond(user.jid.bare, by, shown))

    async def _respond(self, bare: str, by: Jid, presences: Iterable[Element]) -> None:
        # XEP-0191 §3.3: to a blocked contact, all sessions are unavailable.
        if blocks(await self._context.kv.event(blocklist_key(bare)), by):
            return
        for presence in presences:
            await self._cluster.send_stanza(by, presence)

    async def _send_directed(self, session: XmppSession, stanza: Element, to: Jid) -> None:
        """Send presence to one address, whether or not it may see presence (RFC 6121 §4.6)."""
        context = self._context
        if to.domain not in context.domains:
            if to.domain not in context.services:
                raise StanzaError(
                    "remote-server-not-found", "This server does not federate with other servers."
                )
            return
        blocked = await context.kv.event(blocklist_key(to.bare))
        own = await context.kv.event(blocklist_key(session.jid.bare))
        if blocks(own, to):
            raise blocked_by_sender()
        if blocks(blocked, session.jid):
            return
        if stanza.get("type") == "unavailable":
            if session.directed.pop(to.text, None) is not None:
                session.directed_bytes -= DIRECTED_BYTES + len(to.text)
        elif to.text not in session.directed and len(session.directed) < MAX_DIRECTED:
            size = session.directed_bytes + DIRECTED_BYTES + len(to.text)
            if size <= MAX_DIRECTED_BYTES:
                session.directed[to.text], session.directed_bytes = to, size
        await self._send(to, stanza.having({"to": to.text}))

    async def _return_error(self, session: XmppSession, stanza: Element, to: Jid | None) -> None:
        """Deliver a client's error to the session that sent the presence (RFC 6121 §8.5.3.1), or
        drop it if that session is not connected."""
        if to is not None and to.resource and to.domain in self._context.domains:
            own = await self._context.kv.event(blocklist_key(session.jid.bare))
            if not await self._is_blocked(own, session.jid, to):
                await self._cluster.send_stanza(to, stanza)

    async def _send(self, to: Jid, stanza: Element) -> None:
        if to.resource:
            await self._cluster.send_stanza(to, stanza)
        else:
            await self._cluster.notify(to.bare, "presence", xml=stanza.xml())


def _deliver(user: LocalUser, data: Mapping[str, str]) -> None:
    """Deliver presence to the available sessions of an account."""
    payload = data["xml"].encode()
    if "own" in data:
        _deliver_to_self(user, parse(payload, own=True))
        return
    for session in list(user.sessions.values()):
        if session.presence is not None:
            session.write(payload)


def _deliver_to_self(user: LocalUser, presence: Element) -> None:
    """Deliver a session's presence to the available sessions of its own account, each with its full
    address: clients of one account expect to see which of them a presence is for."""
    for session in list(user.sessions.values()):
        if session.presence is not None:
            session.send(presence.having({"to": session.jid.text}))


def _priority(stanza: Element) -> int:
    """The priority of available presence (RFC 6121 §4.7.2.3), 0 without one.

    Raises:
        StanzaError: the priority is no number from -128 to 127.
    """
    element = stanza.find("priority")
    if element is None:
        return 0
    text = element.text.strip()
    number = int(text) if _NUMBER.fullmatch(text) else MAX_PRIORITY + 1
    if not -MAX_PRIORITY - 1 <= number <= MAX_PRIORITY:
        raise StanzaError("bad-request", "A priority is a whole number from -128 to 127.")
    return number
