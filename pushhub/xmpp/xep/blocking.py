"""The blocking command (XEP-0191). Routing keeps to the list: see `blocklist`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pushhub.xml import Element, parse
from pushhub.xmpp.model.extension import ACCOUNT, Extension, Query
from pushhub.xmpp.model.jid import JidError, parse_jid
from pushhub.xmpp.model.namespaces import BLOCKING, CLIENT
from pushhub.xmpp.model.stanza import StanzaError, leaf
from pushhub.xmpp.storage.blocklist import block_name, is_named

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pushhub.xmpp.routing.local_user import LocalUser
    from pushhub.xmpp.server import XmppServer

# Prosody has no limit; a register holds about so many.
MAX_BLOCKED = 1000


async def read(query: Query) -> Element:
    query.session.wants_blocks = True
    listed = await query.server.registers.json(block_name(query.session.jid.bare))
    items = [leaf("item", BLOCKING, jid=jid) for jid in listed or ()]
    return Element("blocklist", BLOCKING, {}, tuple(items))


def addresses(query: Query) -> list[str]:
    """Who is named.

    Raises:
        StanzaError: something is no address.
    """
    try:
        return [parse_jid(item.get("jid") or "").text for item in query.payload.every("item")]
    except JidError as error:
        raise StanzaError("jid-malformed", str(error)) from None


async def block(query: Query) -> None:
    named = addresses(query)
    if not named:
        raise StanzaError("bad-request", "Name the address to block.")
    added = await change(query, lambda old: old + [jid for jid in named if jid not in old])
    for jid in added:
        await show(query, jid, "hide")


async def unblock(query: Query) -> None:
    named = addresses(query)
    # Without items, everybody is unblocked (XEP-0191 §3.5).
    removed = await change(
        query, lambda old: [jid for jid in old if jid not in named] if named else []
    )
    for jid in removed:
        await show(query, jid, "show")


async def change(query: Query, make: Any) -> list[str]:
    """Change the list, tell the account's sessions, and return who is on one list only."""
    session, server = query.session, query.server
    if session.home.anonymous:
        raise StanzaError("not-allowed", "A temporary account keeps nothing.")
    before: list[str] = []

    def remake(old: Any) -> Any:
        nonlocal before
        before = old or []
        made = make(before)
        if len(made) > MAX_BLOCKED:
            raise StanzaError("resource-constraint", f"At most {MAX_BLOCKED} can be blocked.")
        return made if made != before else None

    after = await server.registers.change_json(block_name(session.jid.bare), remake) or []
    service = parse_jid(server.service_of(session.jid.domain))
    deaf = "yes" if is_named(after, service) else ""
    await server.nodes.notify(session.jid.bare, "blocks", xml=query.payload.xml(), deaf=deaf)
    return list(set(before) ^ set(after))


async def show(query: Query, jid: str, how: str) -> None:
    """Who is blocked sees the sender go, and who no longer is sees it come (XEP-0191 §3.3)."""
    bare = query.session.jid.bare
    roster = await query.server.rosters.get(bare)
    other = parse_jid(jid).bare
    if roster.get(other).of:
        await query.server.nodes.notify(bare, how, to=other)


def _push(home: LocalUser, data: Mapping[str, str]) -> None:
    home.server.feeds.mute(home, on=bool(data.get("deaf")))
    payload = parse(data["xml"].encode())
    for session in list(home.sessions.values()):
        if session.wants_blocks:
            attributes = {"type": "set", "id": home.server.draw_id(), "to": session.jid.text}
            session.send(Element("iq", CLIENT, attributes, (payload,)))


def begin(server: XmppServer) -> None:
    server.nodes.on("blocks", _push)


EXTENSION = Extension(
    {
        (ACCOUNT, "get", BLOCKING, "blocklist"): read,
        (ACCOUNT, "set", BLOCKING, "block"): block,
        (ACCOUNT, "set", BLOCKING, "unblock"): unblock,
    },
    domain_features=(BLOCKING,),
    account_features=(BLOCKING,),
    begin=begin,
)
