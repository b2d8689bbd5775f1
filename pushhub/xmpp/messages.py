"""Messages (RFC 6121 §5, §8.5): from a session to everybody whom they are for.

A message that matters later goes into the archives of both sides, and from there to their sessions,
wherever those are. One that does not (a chat state, a headline) goes to the sessions alone.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import orjson

from pushhub.hub.hold import Hold
from pushhub.protocol.event import DraftError
from pushhub.store.base import Append, Appended, Retention, StoreError
from pushhub.xmpp import names
from pushhub.xmpp.archive import Kept, archive_name
from pushhub.xmpp.blocklist import block_name, blocks, own_block
from pushhub.xmpp.nodes import where_name
from pushhub.xmpp.registers import register_name
from pushhub.xmpp.stanza import MESSAGE_TYPES, StanzaError

if TYPE_CHECKING:
    from collections.abc import Container, Coroutine

    from pushhub.protocol.event import Event
    from pushhub.protocol.xml import Element
    from pushhub.store.base import Outcome
    from pushhub.xmpp.jid import Jid
    from pushhub.xmpp.server import Server
    from pushhub.xmpp.session import Session

# XEP-0334: what a sender says about keeping a message.
_NOT_KEPT = frozenset({"no-store", "no-permanent-store"})

# What people say to each other, and that it has arrived.
_KEPT = frozenset({("body", names.CLIENT), ("received", names.RECEIPTS)})


class Messages:
    """Sends messages."""

    def __init__(self, server: Server) -> None:
        self._server = server
        settings = server.settings
        self._retention = Retention(settings.xmpp_archive_events, settings.xmpp_archive_age or None)

    def send(
        self, session: Session, stanza: Element, to: Jid
    ) -> Coroutine[None, None, None] | None:
        """Send a client's message. Its `from` is stamped.

        Raises:
            StanzaError: it cannot reach whom it is for.
        """
        server = self._server
        if to.domain not in server.domains or not to.local:
            self._nowhere(stanza, to)
            return None
        home = server.homes.get(to.bare)
        if home is not None and home.anonymous and session.home.anonymous:
            # Nobody is blocked, and nothing kept.
            if _may_go_on(stanza, to, to.resource in home.sessions):
                self._pass_on(session, stanza, to, kept=False)
            return None
        wanted = [account_name(to)] if home is None else []
        here = home is not None and to.resource in home.sessions
        if to.resource and not here and server.nodes.shared and kind_of(stanza) != "chat":
            wanted.append(where_name(to.bare))
        if not session.home.anonymous:
            wanted.append(block_name(session.jid.bare))
        if home is None or not home.anonymous:
            wanted.append(block_name(to.bare))
        found: list[Event | None] = []
        for name in wanted:
            event = server.registers.begin(name)
            if isinstance(event, Hold):
                event.drop()
                return self._after(session, stanza, to, wanted)
            found.append(event)
        self._checked(session, stanza, to, dict(zip(wanted, found, strict=True)))
        return None

    async def _after(self, session: Session, stanza: Element, to: Jid, wanted: list[str]) -> None:
        """`send`, of what must be looked up in the store first."""
        facts = {name: await self._server.registers.event(name) for name in wanted}
        self._checked(session, stanza, to, facts)

    def _checked(
        self, session: Session, stanza: Element, to: Jid, facts: dict[str, Event | None]
    ) -> None:
        home = self._server.homes.get(to.bare)
        known = home is not None or facts.get(account_name(to)) is not None
        if not (known or self._server.nodes.knows(to)):
            raise StanzaError("service-unavailable", "There is no such account.")
        if blocks(facts.get(block_name(session.jid.bare)), to):
            raise own_block()
        if blocks(facts.get(block_name(to.bare)), session.jid):
            # XEP-0191 §3.3: as if there was nobody.
            raise StanzaError("service-unavailable")
        # An account's name may look like one that a node has drawn: tom.williams.
        anonymous = home.anonymous if home is not None else facts.get(account_name(to)) is None
        there = (
            (home is not None and to.resource in home.sessions)
            or to.resource in _resources(facts.get(where_name(to.bare)))
            # Only its own node knows the sessions of an anonymous address.
            or (anonymous and home is None)
        )
        if not _may_go_on(stanza, to, there):
            return
        if is_kept(stanza) and not anonymous:
            self._archive(session, stanza, to)
        else:
            self._pass_on(session, stanza, to, kept=not anonymous)

    def _nowhere(self, stanza: Element, to: Jid) -> None:
        if stanza.get("type") == "error":
            return
        if to.domain in self._server.domains or to.domain in self._server.services:
            raise StanzaError("service-unavailable", "Nobody reads messages to this address.")
        raise StanzaError("remote-server-not-found", "This server talks to no others.")

    def _archive(self, session: Session, stanza: Element, to: Jid) -> None:
        """Put a message into the archives of both sides; the rest comes from there."""
        sender = session.jid
        clean = without_ids(stanza, to.bare)
        data = addressed(clean, to).xml().encode()
        copied, kind = is_copied(stanza), kind_of(stanza)
        retention = self._retention
        try:
            received = Kept(data, False, copied, kind, sender.bare, to.resource).draft()
            appends = [Append(archive_name(to.bare), received, retention)]
            if not session.home.anonymous and sender.bare != to.bare:
                sent = Kept(data, True, copied, kind, to.bare, sender.resource).draft()
                appends.append(Append(archive_name(sender.bare), sent, retention))
        except DraftError:
            raise StanzaError("policy-violation", "The message is too large.") from None
        session.unsettled += 1

        def settled() -> None:
            session.unsettled -= 1
            if not session.unsettled:
                session.stream.resume()

        def done(outcomes: list[Outcome]) -> None:
            outcome, home = outcomes[0], self._server.homes.get(to.bare)
            if not isinstance(outcome, Appended):
                why = outcome.public if isinstance(outcome, StoreError) else str(outcome)
                error = StanzaError("internal-server-error", why, type="wait")
                session.refuse(stanza, error)
            elif home is not None and home.follow is not None:
                # The store's reply may be here before its news of what is in the archive.
                home.follow.after(outcome.position, settled)
                return
            settled()

        self._server.hub.publish(appends, done)

    def _pass_on(self, session: Session, stanza: Element, to: Jid, *, kept: bool) -> None:
        """Bring a message to the sessions that there are, and keep nothing.

        Raises:
            StanzaError: the message would be kept for an account (`kept`), this is none, and no
                session takes it.
        """
        kind = kind_of(stanza)
        payload = addressed(stanza, to).xml().encode()
        copied = is_copied(stanza)
        message = Kept(payload, False, copied, kind, session.jid.bare, to.resource)
        brought = self._server.nodes.message(to, message, fails=not kept and is_kept(stanza))
        if not brought and not kept and is_kept(stanza):
            raise StanzaError("service-unavailable", "No session of this address takes messages.")
        if copied and len(session.home.sessions) > 1 and session.jid.bare != to.bare:
            outgoing = Kept(payload, True, copied, kind, to.bare, session.jid.resource)
            session.home.copy("sent", payload, outgoing)


def _may_go_on(stanza: Element, to: Jid, there: bool) -> bool:
    """Whether a message may be brought to an account (RFC 6121 §8.5). `there` is whether the
    account has a session of the address's resource. False: the message is dropped.

    Raises:
        StanzaError: the sender is told that there is no such session.
    """
    if to.resource and there:
        return True
    match kind_of(stanza):
        case "error":
            return False
        case "groupchat":
            # Only an occupant's full address, which a room has, is for such messages.
            raise StanzaError("service-unavailable", "There is no such room.")
        case "headline" if to.resource:
            return False
        case "normal" if to.resource:
            raise StanzaError("service-unavailable", "There is no such session.")
    return True


def _resources(where: Event | None) -> Container[str]:
    """The resources that a register of `Nodes` names."""
    return orjson.loads(where.data) if where is not None and where.data else ()


def addressed(stanza: Element, to: Jid) -> Element:
    """A message that says whom it is for: without `to`, the sender's own account."""
    return stanza if "to" in stanza.attributes else stanza.having({"to": to.text})


def account_name(jid: Jid) -> str:
    """The register of an account."""
    return _account_name(jid.bare)


@lru_cache(maxsize=16_384)
def _account_name(bare: str) -> str:
    return register_name("account", bare)


def kind_of(stanza: Element) -> str:
    """A message's type; one that is not defined is `normal` (RFC 6121 §5.2.2)."""
    kind = stanza.attributes.get("type", "normal")
    return kind if kind in MESSAGE_TYPES else "normal"


def is_kept(stanza: Element) -> bool:
    """Whether a message is for the archive: what people say to each other (XEP-0313 §5.1.1)."""
    if stanza.attributes.get("type", "normal") in ("error", "headline", "groupchat"):
        return False
    kept = False
    for child in stanza.elements:
        if child.namespace == names.HINTS:
            if child.name in _NOT_KEPT:
                return False
            kept = kept or child.name == "store"
        elif (child.name, child.namespace) in _KEPT:
            kept = True
    return kept


def is_copied(stanza: Element) -> bool:
    """Whether other sessions of both sides get copies of a message (XEP-0280 §6)."""
    kind = kind_of(stanza)
    if kind not in ("chat", "normal"):
        return False
    has_body = False
    for child in stanza.elements:
        if (child.name, child.namespace) in _PRIVATE:
            return False
        has_body = has_body or child.name == "body"
    return has_body or kind == "chat"


_PRIVATE = frozenset({("private", names.CARBONS), ("no-copy", names.HINTS), ("x", names.MUC_USER)})


def without_ids(stanza: Element, by: str) -> Element:
    """A message without ids that only its receiver's archive may give (XEP-0359 §5)."""
    for child in stanza.children:
        if not isinstance(child, str) and _is_id(child, by):
            return stanza.holding(
                *[c for c in stanza.children if isinstance(c, str) or not _is_id(c, by)]
            )
    return stanza


def _is_id(child: Element, by: str) -> bool:
    return (
        child.name == "stanza-id"
        and child.namespace == names.STANZA_ID
        and child.attributes.get("by", by) == by
    )
