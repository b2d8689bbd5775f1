"""Discovery of the PubSub service, its channels and their items (XEP-0060 §5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.log.grant import Action
from pushhub.xmpp.context import pubsub_service
from pushhub.xmpp.model import namespaces as ns
from pushhub.xmpp.xep import disco, form
from pushhub.xmpp.xep.pubsub.items import max_items, stored_items
from pushhub.xmpp.xep.pubsub.node_index import created_nodes
from pushhub.xmpp.xep.pubsub.rights import checked_name, may, node_policy, node_record, require
from pushhub.xmpp.xep.rsm import MAX_PAGE, page_set, requested_page

if TYPE_CHECKING:
    from pushhub.xml import Element
    from pushhub.xmpp.routing.extension import IqRequest

# The supported ones of XEP-0060 §16, feature table.
FEATURES = (
    "access-open",
    "access-whitelist",
    "auto-create",
    "config-node",
    "create-and-configure",
    "create-nodes",
    "delete-nodes",
    "instant-nodes",
    "item-ids",
    "last-published",
    "member-affiliation",
    "meta-data",
    "modify-affiliations",
    "outcast-affiliation",
    "persistent-items",
    "publish",
    "publisher-affiliation",
    "retract-items",
    "retrieve-affiliations",
    "retrieve-default",
    "retrieve-items",
    "retrieve-subscriptions",
    "rsm",
    "subscribe",
)


async def about(request: IqRequest) -> Element:
    """The features of the service, or of one channel."""
    node = request.payload.get("node")
    features = (
        ns.DISCO_INFO,
        ns.DISCO_ITEMS,
        ns.PUBSUB,
        ns.RSM,
        ns.JSON,
        ns.PING,
        *(f"{ns.PUBSUB}#{feature}" for feature in FEATURES),
    )
    if not node:
        return disco.info([("pubsub", "service", "Channels")], sorted(features))
    record = await require(request, Action.READ, checked_name(node))
    result = disco.info(
        [("pubsub", "leaf", record.get("title", ""))],
        sorted((ns.PUBSUB, ns.DISCO_ITEMS)),
        node,
    )
    fields = [
        form.field("pubsub#title", "text-single", record.get("title", "")),
        form.field("pubsub#description", "text-single", record.get("description", "")),
    ]
    return result.holding(*result.children, form.form("result", ns.PUBSUB_META, *fields))


async def _readable(request: IqRequest, after: str, limit: int) -> list[str]:
    """The next channels after a name that the sender may read: channels with events, and created
    nodes without events. The order is that of the names' UTF-8, as in the store.
    """
    context = request.context
    nodes = await created_nodes(context.kv)
    listed: list[str] = []
    done = False
    while not done and len(listed) < limit:
        # The store knows no grants, so its names are filtered here.
        some = [info.channel for info in await context.hub.store.channels("", after, MAX_PAGE)]
        done = len(some) < MAX_PAGE
        start, end = after.encode(), None if done else some[-1].encode()
        empty = {
            node
            for node in nodes
            if start < node.encode() and (end is None or node.encode() <= end)
        }
        for name in sorted(empty.union(some), key=str.encode):
            record = await node_record(context, name) if name in nodes else {}
            if may(context, request.session, Action.READ, name, node_policy(context, name, record)):
                listed.append(name)
        after = some[-1] if some else after
    return listed[:limit]


async def items(request: IqRequest) -> Element:
    """The channels that the sender may read, or the items of one."""
    context, node = request.context, request.payload.get("node")
    service = pubsub_service(request.session.jid.domain)
    if node:
        record = await require(request, Action.READ, checked_name(node))
        found = await stored_items(context, node, min(MAX_PAGE, max_items(record)))
        return disco.items([{"jid": service, "name": event.id} for event in found], node)
    page = requested_page(request.payload)
    listed = await _readable(request, page.after or "", page.limit)
    ends = page_set(listed[0], listed[-1]) if listed else page_set(None, None)
    return disco.items([{"jid": service, "node": name} for name in listed], None, ends)
