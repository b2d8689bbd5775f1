"""Subscribing and unsubscribing (XEP-0060 §6.1, §6.2, §5.6).

The subscription of a bare address is permanent: the account is notified whenever it has a session.
The subscription of a full address ends with its session, and so do all subscriptions of anonymous
accounts.
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
from pushhub.xmpp.xep.pubsub.notifications import notification
from pushhub.xmpp.xep.pubsub.rights import requested_node, require
from pushhub.xmpp.xep.pubsub.subscribers import (
    MAX_GUEST_SUBSCRIPTIONS,
    MAX_SUBSCRIPTIONS,
    subscriptions_key,
)

if TYPE_CHECKING:
    from pushhub.xmpp.routing.cluster import Cluster
    from pushhub.xmpp.routing.extension import IqRequest
    from pushhub.xmpp.xep.pubsub.subscribers import Subscribers


class NodeSubscriptions:
    """Handles the subscription requests of clients."""

    def __init__(self, cluster: Cluster, subscribers: Subscribers) -> None:
        self._cluster = cluster
        self._subscribers = subscribers

    async def subscribe(self, request: IqRequest) -> Element:
        """Notify an address of a channel's events, first of the last one."""
        node = requested_node(request, "subscribe")
        address = _subscriber(request, "subscribe")
        record = await require(request, Action.READ, node)
        context, session, subscribers = request.context, request.session, self._subscribers
        bare = session.jid.bare
        is_permanent = address == bare and not session.user.anonymous
        count, limit = len(subscribers.channels(address)), MAX_SUBSCRIPTIONS
        if session.user.anonymous:
            limit = MAX_GUEST_SUBSCRIPTIONS
            count = sum(len(subscribers.channels(each)) for each in (bare, session.jid.text))
        if count >= limit:
            raise error("policy-violation", "too-many-subscriptions")
        if is_permanent:
            await context.kv.update_json(
                subscriptions_key(bare), lambda old: _with(old or [], node)
            )
        await subscribers.subscribe(session.user, address, node)
        if is_permanent:
            await self._cluster.notify(bare, "subscribed", channel=node)
        if record.get("last", "on_sub") != "never":
            read = await context.hub.store.read(node, Start.LAST, 1)
            if isinstance(read, Page) and read.events:
                (event,) = read.events
                # After the result, so that the client knows the purpose of the notification.
                notify = partial(subscribers.notify, session.user, address, node)
                asyncio.get_running_loop().call_soon(notify, notification(event), event)
        content = leaf("subscription", PUBSUB, node=node, jid=address, subscription="subscribed")
        return Element("pubsub", PUBSUB, {}, (content,))

    async def unsubscribe(self, request: IqRequest) -> None:
        """End a subscription."""
        node = requested_node(request, "unsubscribe")
        address = _subscriber(request, "unsubscribe")
        context, session = request.context, request.session
        bare = session.jid.bare
        if address == bare and not session.user.anonymous:
            was_subscribed = False

            def make(old: Any) -> Any:
                nonlocal was_subscribed
                was_subscribed = node in (old or ())
                return [other for other in old if other != node] if was_subscribed else None

            await context.kv.update_json(subscriptions_key(bare), make)
            await self._cluster.notify(bare, "unsubscribed", channel=node)
        else:
            was_subscribed = self._subscribers.unsubscribe(address, node)
        if not was_subscribed:
            raise error("unexpected-request", "not-subscribed")

    def listed(self, request: IqRequest) -> Element:
        """The sender's subscriptions, to all nodes or to one."""
        element = request.payload.find("subscriptions")
        only = element.get("node") if element is not None else None
        jid = request.session.jid
        children = []
        for address in (jid.bare, jid.text):
            children += [
                leaf("subscription", PUBSUB, node=node, jid=address, subscription="subscribed")
                for node in self._subscribers.channels(address)
                if only is None or node == only
            ]
        attributes = {"node": only} if only else {}
        content = Element("subscriptions", PUBSUB, attributes, tuple(children))
        return Element("pubsub", PUBSUB, {}, (content,))


def _with(old: list[str], node: str) -> list[str] | None:
    return None if node in old else [*old, node]


def _subscriber(request: IqRequest, name: str) -> str:
    """The address of the subscription: the sender's own, bare or full.

    Raises:
        StanzaError: the address is another account's (XEP-0060 §6.1.3.1).
    """
    element = request.payload.find(name)
    assert element is not None
    try:
        jid = parse_jid(element.get("jid") or "")
    except JidError as wrong:
        raise StanzaError("jid-malformed", str(wrong)) from None
    own = request.session.jid
    if jid not in (own, own.with_resource("")):
        raise error("bad-request", "invalid-jid", "An account can only subscribe itself.")
    return jid.text
