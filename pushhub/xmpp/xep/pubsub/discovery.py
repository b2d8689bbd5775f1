"""Discovery of the PubSub service, its channels and their items (XEP-0060 §5)."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from pushhub.log.grant import Action
from pushhub.xmpp.context import pubsub_service
from pushhub.xmpp.model import namespaces as ns
from pushhub.xmpp.model.stanza import StanzaError
from pushhub.xmpp.xep import disco, form
from pushhub.xmpp.xep.pubsub.items import max_items, stored_items
from pushhub.xmpp.xep.pubsub.node_index import NodeIndex
from pushhub.xmpp.xep.pubsub.rights import checked_name, may, node_policy, node_record, require
from pushhub.xmpp.xep.rsm import MAX_PAGE, page_set, requested_page

if TYPE_CHECKING:
    from pushhub.xml import Element
    from pushhub.xmpp.routing.extension import IqRequest

# Channels that one request looks through; the sender may read few of them. They take about 10 ms.
MAX_LOOKED = 2000
# The names of one read of the store: a read of few takes as long, since the store sorts them.
READ_NAMES = 1000

# The beginning of a mark in place of a name. No channel of a client begins so.
_MARK = "$next:"

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


class ChannelListing:
    """Lists the channels that an account may read, page by page."""

    __slots__ = ("_index",)

    def __init__(self) -> None:
        self._index = NodeIndex()

    async def items(self, request: IqRequest) -> Element:
        """The channels that the sender may read, or the items of one."""
        context, node = request.context, request.payload.get("node")
        service = pubsub_service(request.session.jid.domain)
        if node:
            record = await require(request, Action.READ, checked_name(node))
            found = await stored_items(context, node, min(MAX_PAGE, max_items(record)))
            return disco.items([{"jid": service, "name": event.id} for event in found], node)
        page = requested_page(request.payload)
        listed, more = await self._readable(request, self._start(request, page.after), page.limit)
        first, last = (listed[0], listed[-1]) if listed else (None, None)
        if more is not None:
            # The client goes on after the last name that was looked at. It may not read that name,
            # so it gets a mark for it.
            last = _MARK + context.new_id()
            first = first or last
            request.session.listed_until = (last, more)
        ends = page_set(first, last)
        return disco.items([{"jid": service, "node": name} for name in listed], None, ends)

    def _start(self, request: IqRequest, after: str | None) -> str:
        """The name after which a page begins.

        Raises:
            StanzaError: the mark is of another session, or an older one.
        """
        if after is None or not after.startswith(_MARK):
            return after or ""
        mark, name = request.session.listed_until
        if after != mark:
            raise StanzaError("item-not-found", "This page is no longer known; begin again.")
        return name

    async def _readable(
        self, request: IqRequest, after: str, limit: int
    ) -> tuple[list[str], str | None]:
        """The next channels after a name that the sender may read: channels with events, and
        created nodes without events. The order is that of the store, by code points. The
        second value is the last name that was looked at, if there may be more to look at.
        """
        context, looked = request.context, 0
        nodes = await self._index.sorted(context.kv)
        listed: list[str] = []
        while len(listed) < limit:
            if looked >= MAX_LOOKED:
                return listed, after
            # The store knows no grants, so its names are filtered here.
            page = await context.hub.store.channels("", after, READ_NAMES)
            some = [info.channel for info in page]
            is_last = len(some) < READ_NAMES
            begin = bisect_right(nodes, after)
            end = len(nodes) if is_last else bisect_right(nodes, some[-1])
            created = nodes[begin : min(end, begin + MAX_PAGE)]
            if end - begin > MAX_PAGE:
                some = [name for name in some if name <= created[-1]]
                is_last = False
            known = set(created)
            for name in sorted(known.union(some)):
                record = await node_record(context, name) if name in known else {}
                policy = node_policy(context, name, record)
                looked, after = looked + 1, name
                if may(context, request.session, Action.READ, name, policy):
                    listed.append(name)
                    if len(listed) == limit:
                        return listed, None
            if is_last:
                break
        return listed, None
