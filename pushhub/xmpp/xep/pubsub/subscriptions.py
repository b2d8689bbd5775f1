"""Subscribing and unsubscribing (XEP-0060 §6.1, §6.2, §5.6).

A bare address subscribes for good: whenever the account is there, it is told. A full address
subscribes for as long as the session lasts, and so does everybody who is anonymous.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from pushhub.log.cursor import Start
from pushhub.log.grant import Action
from pushhub.log.read import Page
from pushhub.xml import Element
from pushhub.xmpp.model.jid import JidError, parse_jid
from pushhub.xmpp.model.namespaces import PUBSUB
from pushhub.xmpp.model.stanza import StanzaError, leaf
from pushhub.xmpp.xep.pubsub.errors import error
from pushhub.xmpp.xep.pubsub.feeds import MAX_SUBSCRIPTIONS, subscriptions_name
from pushhub.xmpp.xep.pubsub.notice import notification
from pushhub.xmpp.xep.pubsub.rights import named, require

if TYPE_CHECKING:
    from pushhub.xmpp.model.extension import Query


async def subscribe(query: Query) -> Element:
    """Tell an address of a channel's events, and now of the last one."""
    node = named(query, "subscribe")
    address = _subscriber(query, "subscribe")
    record = await require(query, Action.READ, node)
    server, session = query.server, query.session
    bare, lasting = session.jid.bare, address == session.jid.bare and not session.home.anonymous
    if len(server.feeds.channels(address)) >= MAX_SUBSCRIPTIONS:
        raise error("policy-violation", "too-many-subscriptions")
    if lasting:
        await server.registers.change_json(
            subscriptions_name(bare), lambda old: _with(old or [], node)
        )
    await server.feeds.follow(session.home, address, node)
    if lasting:
        await server.nodes.notify(bare, "subscribed", channel=node)
    if record.get("last", "on_sub") != "never":
        read = await server.hub.store.read(node, Start.LAST, 1)
        if isinstance(read, Page) and read.events:
            (event,) = read.events
            # After the result, which tells the client what it is about.
            tell = partial(server.feeds.tell, session.home, address)
            asyncio.get_running_loop().call_soon(tell, notification(event), node, event)
    told = leaf("subscription", PUBSUB, node=node, jid=address, subscription="subscribed")
    return Element("pubsub", PUBSUB, {}, (told,))


async def unsubscribe(query: Query) -> None:
    """Tell it no longer."""
    node = named(query, "unsubscribe")
    address = _subscriber(query, "unsubscribe")
    server, session = query.server, query.session
    bare = session.jid.bare
    if address == bare and not session.home.anonymous:
        was = False

        def make(old: Any) -> Any:
            nonlocal was
            was = node in (old or ())
            return [other for other in old if other != node] if was else None

        await server.registers.change_json(subscriptions_name(bare), make)
        await server.nodes.notify(bare, "unsubscribed", channel=node)
    else:
        was = server.feeds.unfollow(address, node)
    if not was:
        raise error("unexpected-request", "not-subscribed")


def listed(query: Query) -> Element:
    """What the sender has subscribed to, in all or on one node."""
    asked = query.payload.find("subscriptions")
    only = asked.get("node") if asked is not None else None
    jid, server = query.session.jid, query.server
    children = []
    for address in (jid.bare, jid.text):
        children += [
            leaf("subscription", PUBSUB, node=node, jid=address, subscription="subscribed")
            for node in server.feeds.channels(address)
            if only is None or node == only
        ]
    attributes = {"node": only} if only else {}
    inside = Element("subscriptions", PUBSUB, attributes, tuple(children))
    return Element("pubsub", PUBSUB, {}, (inside,))


def _with(old: list[str], node: str) -> list[str] | None:
    return None if node in old else [*old, node]


def _subscriber(query: Query, name: str) -> str:
    """The address that is to be told: the sender's own, bare or full.

    Raises:
        StanzaError: it is another's (XEP-0060 §6.1.3.1).
    """
    element = query.payload.find(name)
    assert element is not None
    try:
        jid = parse_jid(element.get("jid") or "")
    except JidError as wrong:
        raise StanzaError("jid-malformed", str(wrong)) from None
    own = query.session.jid
    if jid not in (own, own.with_resource("")):
        raise error("bad-request", "invalid-jid", "An account can only subscribe itself.")
    return jid.text
