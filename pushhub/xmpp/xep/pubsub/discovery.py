"""What the PubSub service is, which channels there are, and what one is (XEP-0060 §5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.log.grant import Action
from pushhub.xmpp.model import namespaces as ns
from pushhub.xmpp.xep import disco, form
from pushhub.xmpp.xep.pubsub.created import created
from pushhub.xmpp.xep.pubsub.items import kept, most_items
from pushhub.xmpp.xep.pubsub.rights import checked, may, record_of, require
from pushhub.xmpp.xep.rsm import MAX_PAGE, page_set, wanted_page

if TYPE_CHECKING:
    from pushhub.xml import Element
    from pushhub.xmpp.model.extension import Query

# XEP-0060 §16, feature table: those that are kept.
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


async def about(query: Query) -> Element:
    """The service, or one channel."""
    node = query.payload.get("node")
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
    record = await require(query, Action.READ, checked(node))
    told = disco.info(
        [("pubsub", "leaf", record.get("title", ""))],
        sorted((ns.PUBSUB, ns.DISCO_ITEMS)),
        node,
    )
    fields = [
        form.field("pubsub#title", "text-single", record.get("title", "")),
        form.field("pubsub#description", "text-single", record.get("description", "")),
    ]
    return told.holding(*told.children, form.form("result", ns.PUBSUB_META, *fields))


async def _readable(query: Query, after: str, most: int) -> list[str]:
    """The next names after one of channels that the sender may read: those that have events, and
    nodes that were created and are empty. The order is that of the names' UTF-8, as in the store.
    """
    server = query.server
    nodes = await created(server.registers)
    listed: list[str] = []
    done = False
    while not done and len(listed) < most:
        # Filtered here: the store knows no grants.
        some = [info.channel for info in await server.hub.store.channels("", after, MAX_PAGE)]
        done = len(some) < MAX_PAGE
        start, end = after.encode(), None if done else some[-1].encode()
        empty = {
            node
            for node in nodes
            if start < node.encode() and (end is None or node.encode() <= end)
        }
        for name in sorted(empty.union(some), key=str.encode):
            record = await record_of(server, name) if name in nodes else {}
            if may(server, query.session, Action.READ, name, record):
                listed.append(name)
        after = some[-1] if some else after
    return listed[:most]


async def items(query: Query) -> Element:
    """The channels that the sender may read, or the items of one."""
    server, node = query.server, query.payload.get("node")
    service = server.service_of(query.session.jid.domain)
    if node:
        record = await require(query, Action.READ, checked(node))
        found = await kept(server, node, min(MAX_PAGE, most_items(record)))
        return disco.items([{"jid": service, "name": event.id} for event in found], node)
    page = wanted_page(query.payload)
    listed = await _readable(query, page.after or "", page.most)
    ends = page_set(listed[0], listed[-1]) if listed else page_set(None, None)
    return disco.items([{"jid": service, "node": name} for name in listed], None, ends)
