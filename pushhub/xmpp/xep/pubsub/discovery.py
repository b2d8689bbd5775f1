"""What the PubSub service is, which channels there are, and what one is (XEP-0060 §5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.protocol.grant import Action
from pushhub.xmpp import names
from pushhub.xmpp.xep import disco, form
from pushhub.xmpp.xep.pubsub.items import kept
from pushhub.xmpp.xep.pubsub.rights import checked, may, require
from pushhub.xmpp.xep.rsm import MAX_PAGE, page_set, wanted_page

if TYPE_CHECKING:
    from pushhub.protocol.xml import Element
    from pushhub.xmpp.extension import Query

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
        names.DISCO_INFO,
        names.DISCO_ITEMS,
        names.PUBSUB,
        names.RSM,
        names.JSON,
        names.PING,
        *(f"{names.PUBSUB}#{feature}" for feature in FEATURES),
    )
    if not node:
        return disco.info([("pubsub", "service", "Channels")], sorted(features))
    record = await require(query, Action.READ, checked(node))
    told = disco.info(
        [("pubsub", "leaf", record.get("title", ""))],
        sorted((names.PUBSUB, names.DISCO_ITEMS)),
        node,
    )
    fields = [
        form.field("pubsub#title", "text-single", record.get("title", "")),
        form.field("pubsub#description", "text-single", record.get("description", "")),
    ]
    return told.holding(*told.children, form.form("result", names.PUBSUB_META, *fields))


async def items(query: Query) -> Element:
    """The channels that the sender may read, or the items of one."""
    server, node = query.server, query.payload.get("node")
    service = server.service_of(query.session.jid.domain)
    if node:
        await require(query, Action.READ, checked(node))
        found = await kept(server, node, MAX_PAGE)
        return disco.items([{"jid": service, "name": event.id} for event in found], node)
    page = wanted_page(query.payload)
    listed: list[str] = []
    after = page.after or ""
    while len(listed) < page.most:
        # Filtered here: the store knows no grants.
        some = await server.hub.store.channels("", after, MAX_PAGE)
        listed += [
            info.channel
            for info in some
            if may(server, query.session, Action.READ, info.channel, {})
        ]
        if len(some) < MAX_PAGE:
            break
        after = some[-1].channel
    listed = listed[: page.most]
    ends = page_set(listed[0], listed[-1]) if listed else page_set(None, None)
    return disco.items([{"jid": service, "node": name} for name in listed], None, ends)
