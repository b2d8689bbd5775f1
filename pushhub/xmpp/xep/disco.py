"""Service discovery (XEP-0030): what the server, its accounts and its nodes are and can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.xml import Element
from pushhub.xmpp.model.extension import ACCOUNTS, DOMAIN, Extension, Query
from pushhub.xmpp.model.namespaces import DISCO_INFO, DISCO_ITEMS
from pushhub.xmpp.model.stanza import StanzaError, leaf
from pushhub.xmpp.routing.messages import account_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pushhub.xmpp.server import XmppServer


def info(
    identities: Iterable[tuple[str, str, str]], features: Iterable[str], node: str | None = None
) -> Element:
    """An answer about something: its identities (category, type, name) and features."""
    children = [
        leaf("identity", DISCO_INFO, category=category, type=kind, name=name)
        for category, kind, name in identities
    ]
    children += [leaf("feature", DISCO_INFO, var=feature) for feature in features]
    return Element("query", DISCO_INFO, {"node": node} if node else {}, tuple(children))


def items(listed: Iterable[dict[str, str]], node: str | None = None, *more: Element) -> Element:
    """A list of things that belong to something."""
    children = [leaf("item", DISCO_ITEMS, **item) for item in listed]
    return Element("query", DISCO_ITEMS, {"node": node} if node else {}, (*children, *more))


# Converse.js asks for the domain's items only of one that is a server.
IDENTITY = ("server", "im", "pushhub")


def domain_features(server: XmppServer) -> list[str]:
    """What a domain can do, sorted."""
    of_all = [feature for each in server.extensions for feature in each.domain_features]
    return sorted({DISCO_INFO, DISCO_ITEMS, *of_all})


def about_domain(query: Query) -> Element:
    node, server = query.payload.get("node"), query.server
    # The node of our caps (XEP-0115 §6.2) is the domain again.
    if node and node != f"{server.caps_node}#{server.caps_version}":
        raise StanzaError("item-not-found")
    return info([IDENTITY], domain_features(server), node)


async def about_account(query: Query) -> Element:
    """An account to itself; to others only that it is there, and only if they may know."""
    server, own = query.server, query.session.jid.bare
    bare = query.account.bare
    if query.payload.get("node"):
        raise StanzaError("item-not-found")
    if bare != own:
        await may_know(query)
    features = [feature for each in server.extensions for feature in each.account_features]
    return info(
        [
            ("account", "anonymous" if query.session.home.anonymous else "registered", ""),
            ("pubsub", "pep", ""),
        ],
        sorted({DISCO_INFO, DISCO_ITEMS, *features}) if bare == own else (DISCO_INFO,),
    )


async def may_know(query: Query) -> None:
    """Return if the asked account lets the asking one see its presence (RFC 6121 §8.5.1).

    Raises:
        StanzaError: it does not, or is not there.
    """
    assert query.to is not None
    if await query.server.registers.event(account_name(query.to)) is not None:
        roster = await query.server.rosters.get(query.to.bare)
        if roster.get(query.session.jid.bare).of:
            return
    raise StanzaError("service-unavailable")


def of_domain(query: Query) -> Element:
    if query.payload.get("node"):
        raise StanzaError("item-not-found")
    assert query.to is not None
    return items([{"jid": f"pubsub.{query.to.domain}", "name": "Channels"}])


async def of_account(query: Query) -> Element:
    if query.account.bare != query.session.jid.bare:
        await may_know(query)
    return items([])


EXTENSION = Extension(
    {
        (DOMAIN, "get", DISCO_INFO, "query"): about_domain,
        (DOMAIN, "get", DISCO_ITEMS, "query"): of_domain,
        (ACCOUNTS, "get", DISCO_INFO, "query"): about_account,
        (ACCOUNTS, "get", DISCO_ITEMS, "query"): of_account,
    }
)
