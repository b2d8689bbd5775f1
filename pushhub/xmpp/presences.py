"""Presence (RFC 6121 §4): who is there, told to those who may know."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pushhub.protocol.xml import Element, parse
from pushhub.xmpp.blocklist import block_name, blocks, own_block
from pushhub.xmpp.jid import Jid, parse_jid
from pushhub.xmpp.names import CLIENT
from pushhub.xmpp.session import MAX_DIRECTED
from pushhub.xmpp.stanza import StanzaError
from pushhub.xmpp.subscriptions import TYPES, Subscriptions

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Mapping

    from pushhub.protocol.event import Event
    from pushhub.xmpp.home import Home
    from pushhub.xmpp.server import Server
    from pushhub.xmpp.session import Session

MAX_PRIORITY = 127
_NUMBER = re.compile(r"[+-]?[0-9]{1,3}", re.ASCII)


class Presences:
    """Takes presence from sessions, and tells others."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.subscriptions = Subscriptions(server)
        server.nodes.on("presence", _tell)
        server.nodes.on("probe", self._probed)
        server.nodes.on("show", self._show)
        server.nodes.on("hide", self._hide)

    def receive(
        self, session: Session, stanza: Element, to: Jid | None
    ) -> Coroutine[None, None, None] | None:
        """Handle a client's presence, whose `from` is stamped.

        Raises:
            StanzaError: it cannot be sent.
        """
        kind = stanza.get("type")
        if kind in TYPES:
            return self.subscriptions.send(session, kind, stanza, to)
        if kind == "probe":
            return None
        if kind == "error":
            return self._return(session, stanza, to)
        if kind not in (None, "unavailable"):
            raise StanzaError("bad-request", "RFC 6121 §4.7.1 lists the types of presence.")
        if to is not None:
            return self._direct(session, stanza, to)
        if kind == "unavailable":
            return self.withdraw(session, stanza)
        return self._announce(session, stanza)

    async def _announce(self, session: Session, stanza: Element) -> None:
        """Available presence: everybody who may know is told (RFC 6121 §4.2, §4.4)."""
        begins = session.presence is None
        priority = _priority(stanza)
        session.presence, session.priority = stanza.having({"to": None}), priority
        session.attend()
        if session.home.anonymous:
            _tell_own(session.home, session.presence)
            return
        if session.takes_messages:
            # At once: a message that comes now is later than those that waited.
            await session.home.catch_up(session)
        await self._broadcast(session, session.presence)
        if begins:
            await self._look_around(session)

    async def withdraw(self, session: Session, stanza: Element | None = None) -> None:
        """Unavailable presence: whoever was told of the session is told of its end (RFC 6121
        §4.5)."""
        if stanza is None:
            attributes = {"type": "unavailable", "from": session.jid.text}
            stanza = Element("presence", CLIENT, attributes)
        directed = list(session.directed.values())
        session.directed.clear()
        was, session.presence = session.presence, None
        session.attend()
        for jid in directed:
            if was is None or jid.bare != session.jid.bare:  # Those are told below.
                await self._one(jid, stanza)
        if was is None:
            return
        presence = stanza.having({"to": None})
        # RFC 6121 §4.5.2: to itself too, as long as it is there.
        session.send(presence.having({"to": session.jid.text}))
        if session.home.anonymous:
            _tell_own(session.home, presence)
        else:
            await self._broadcast(session, presence)

    async def _broadcast(self, session: Session, presence: Element) -> None:
        bare, server = session.jid.bare, self._server
        roster = await server.rosters.get(bare)
        blocked = await server.registers.event(block_name(bare))
        for other, entry in roster.entries.items():
            if entry.of and not await self._kept_apart(blocked, session.jid, parse_jid(other)):
                xml = presence.having({"to": other}).xml()
                await server.nodes.notify(other, "presence", xml=xml)
        # RFC 6121 §4.2.2, §4.4.2: to all available sessions of the account, this one too.
        own = presence.having({"to": bare}).xml()
        await server.nodes.notify(bare, "presence", xml=own, own="yes")

    async def _kept_apart(self, blocked: Event | None, own: Jid, other: Jid) -> bool:
        """Whether one of them has blocked the other (XEP-0191 §3.3); `blocked` is the own list."""
        if blocks(blocked, other):
            return True
        return blocks(await self._server.registers.event(block_name(other.bare)), own)

    async def _look_around(self, session: Session) -> None:
        """A session has come: it is told who is there, and what is asked of it."""
        bare, server = session.jid.bare, self._server
        roster = await server.rosters.get(bare)
        for other, entry in roster.entries.items():
            if entry.to:
                await server.nodes.notify(other, "probe", by=session.jid.text)
            if entry.wanted:
                session.write(entry.wanted.encode())
        await server.nodes.notify(bare, "probe", by=session.jid.text)

    def _show(self, home: Home, data: Mapping[str, str]) -> None:
        """Tell an account the presence of all sessions of another."""
        to = data["to"]
        self._server.spawn(
            self._tell_all(
                to, [s.presence.having({"to": to}) for s in home.sessions.values() if s.presence]
            )
        )

    def _hide(self, home: Home, data: Mapping[str, str]) -> None:
        """Tell an account that it sees the sessions of another no longer."""
        to = data["to"]
        gone = [
            Element("presence", CLIENT, {"type": "unavailable", "from": s.jid.text, "to": to})
            for s in home.sessions.values()
            if s.presence is not None
        ]
        self._server.spawn(self._tell_all(to, gone))

    async def _tell_all(self, to: str, presences: Iterable[Element]) -> None:
        for presence in presences:
            await self._server.nodes.notify(to, "presence", xml=presence.xml())

    def _probed(self, home: Home, data: Mapping[str, str]) -> None:
        """Somebody asks who is there (RFC 6121 §4.3)."""
        by = parse_jid(data["by"])
        shown = [
            session.presence.having({"to": by.text})
            for session in home.sessions.values()
            if session.presence is not None and session.jid != by
        ]
        if shown:
            self._server.spawn(self._answer(home.jid.bare, by, shown))

    async def _answer(self, bare: str, by: Jid, presences: Iterable[Element]) -> None:
        # XEP-0191 §3.3: to who is blocked nobody is there.
        if blocks(await self._server.registers.event(block_name(bare)), by):
            return
        for presence in presences:
            await self._server.nodes.stanza(by, presence)

    async def _direct(self, session: Session, stanza: Element, to: Jid) -> None:
        """Presence for one address, whoever may know (RFC 6121 §4.6)."""
        server = self._server
        if to.domain not in server.domains:
            if to.domain not in server.services:
                raise StanzaError("remote-server-not-found", "This server talks to no others.")
            return
        blocked = await server.registers.event(block_name(to.bare))
        own = await server.registers.event(block_name(session.jid.bare))
        if blocks(own, to):
            raise own_block()
        if blocks(blocked, session.jid):
            return
        if stanza.get("type") == "unavailable":
            session.directed.pop(to.text, None)
        elif len(session.directed) < MAX_DIRECTED:
            session.directed[to.text] = to
        await self._one(to, stanza.having({"to": to.text}))

    async def _return(self, session: Session, stanza: Element, to: Jid | None) -> None:
        """A client refuses a presence: the error is for the session that sent it (RFC 6121
        §8.5.3.1), and is dropped if that is not there."""
        if to is not None and to.resource and to.domain in self._server.domains:
            own = await self._server.registers.event(block_name(session.jid.bare))
            if not await self._kept_apart(own, session.jid, to):
                await self._server.nodes.stanza(to, stanza)

    async def _one(self, to: Jid, stanza: Element) -> None:
        if to.resource:
            await self._server.nodes.stanza(to, stanza)
        else:
            await self._server.nodes.notify(to.bare, "presence", xml=stanza.xml())


def _tell(home: Home, data: Mapping[str, str]) -> None:
    """Bring presence to the available sessions of an account."""
    payload = data["xml"].encode()
    if "own" in data:
        _tell_own(home, parse(payload))
        return
    for session in list(home.sessions.values()):
        if session.presence is not None:
            session.write(payload)


def _tell_own(home: Home, presence: Element) -> None:
    """Bring a session's presence to the available sessions of its own account. Between these a
    client wants to know which one it is for."""
    for session in list(home.sessions.values()):
        if session.presence is not None:
            session.send(presence.having({"to": session.jid.text}))


def _priority(stanza: Element) -> int:
    """The priority of available presence (RFC 6121 §4.7.2.3), 0 without one.

    Raises:
        StanzaError: it is no number from -128 to 127.
    """
    element = stanza.find("priority")
    if element is None:
        return 0
    text = element.text.strip()
    number = int(text) if _NUMBER.fullmatch(text) else MAX_PRIORITY + 1
    if not -MAX_PRIORITY - 1 <= number <= MAX_PRIORITY:
        raise StanzaError("bad-request", "A priority is a whole number from -128 to 127.")
    return number
