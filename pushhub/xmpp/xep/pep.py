"""Personal eventing (XEP-0163), as far as clients ask for it at their start: what an account keeps
for itself, such as bookmarks. Nobody is notified, and nobody else reads it.
"""

from __future__ import annotations

from typing import Any

from pushhub.xml import Element, parse
from pushhub.xmpp.model.extension import ACCOUNT, Extension, Query
from pushhub.xmpp.model.namespaces import DATA, PUBSUB
from pushhub.xmpp.model.stanza import StanzaError
from pushhub.xmpp.storage.key_value import register_name
from pushhub.xmpp.xep import form

# Bookmarks are one item each; nobody is in so many rooms.
MAX_ITEMS = 200


async def read(query: Query) -> Element:
    """The items of a node (XEP-0060 §6.5)."""
    asked = query.payload.find("items")
    if asked is None:
        raise StanzaError("feature-not-implemented")
    node = asked.get("node") or ""
    kept = (await query.server.registers.json(_register(query)) or {}).get(node)
    if not kept:
        # Converse.js asks for nodes that nobody made.
        raise StanzaError("item-not-found", "There is no such node.")
    wanted = [item.get("id") for item in asked.every("item")]
    items = [
        Element("item", PUBSUB, {"id": id}, (parse(xml.encode()),) if xml else ())
        for id, xml in kept.items()
        if not wanted or id in wanted
    ]
    return Element("pubsub", PUBSUB, {}, (Element("items", PUBSUB, {"node": node}, tuple(items)),))


async def write(query: Query) -> Element | None:
    """Publish or retract an item (XEP-0060 §7.1, §7.2)."""
    if query.session.home.anonymous:
        raise StanzaError("not-allowed", "A temporary account keeps nothing.")
    publish, retract = query.payload.find("publish"), query.payload.find("retract")
    action = publish or retract
    if action is None:
        raise StanzaError("feature-not-implemented")
    node, given = action.get("node") or "", list(action.every("item"))
    if not node or len(given) != 1 or len(given[0].elements) > 1:
        raise StanzaError("bad-request", "One item is published, with one element, to a node.")
    id = given[0].get("id") or query.server.draw_id()
    most = _most_items(query.payload)
    payload = "".join(element.xml() for element in given[0].elements)

    def make(old: Any) -> Any:
        nodes = old or {}
        items = {other: xml for other, xml in nodes.get(node, {}).items() if other != id}
        if publish is not None:
            items[id] = payload
            items = dict(list(items.items())[-most:])
        if len(items) > MAX_ITEMS:
            raise StanzaError("resource-constraint", f"A node keeps at most {MAX_ITEMS} items.")
        return {**nodes, node: items}

    await query.server.registers.change_json(_register(query), make)
    if publish is None:
        return None
    item = Element("item", PUBSUB, {"id": id})
    return Element("pubsub", PUBSUB, {}, (Element("publish", PUBSUB, {"node": node}, (item,)),))


def _most_items(payload: Element) -> int:
    """How many items a publisher wants the node to keep (XEP-0060 §7.1.5); one more than there can
    be for as many as possible.

    Raises:
        StanzaError: it is not possible.
    """
    options = payload.find("publish-options")
    fields = form.fields_of(options.find("x", DATA)) if options is not None else {}
    (text,) = fields.get("pubsub#max_items", [])[:1] or ["max"]
    if text == "max":
        return MAX_ITEMS + 1
    if not (text.isascii() and text.isdecimal() and 0 < len(text) < 6 and int(text)):
        raise StanzaError("bad-request", "'pubsub#max_items' is 'max' or a whole number.")
    return min(int(text), MAX_ITEMS + 1)


def _register(query: Query) -> str:
    return register_name("pep", query.session.jid.bare)


EXTENSION = Extension(
    {
        (ACCOUNT, "get", PUBSUB, "pubsub"): read,
        (ACCOUNT, "set", PUBSUB, "pubsub"): write,
    },
    account_features=(PUBSUB + "#publish", PUBSUB + "#retrieve-items", PUBSUB + "#retract-items"),
)
