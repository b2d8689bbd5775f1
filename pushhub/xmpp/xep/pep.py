"""Personal eventing (XEP-0163), as far as clients need it at their start: an account's own data,
such as bookmarks. There are no notifications, and other accounts cannot read it.
"""

from __future__ import annotations

from typing import Any

from pushhub.xml import Element, parse
from pushhub.xmpp.model.namespaces import DATA, PUBSUB
from pushhub.xmpp.model.stanza import StanzaError
from pushhub.xmpp.routing.extension import ACCOUNT, Extension, IqRequest
from pushhub.xmpp.storage.key_value import internal_name
from pushhub.xmpp.xep import form

# Each bookmark is one item; no user is in so many rooms.
MAX_ITEMS = 200


async def read(request: IqRequest) -> Element:
    """The items of a node (XEP-0060 §6.5)."""
    items_element = request.payload.find("items")
    if items_element is None:
        raise StanzaError("feature-not-implemented")
    node = items_element.get("node") or ""
    stored = (await request.context.kv.json(_key(request)) or {}).get(node)
    if not stored:
        # Converse.js requests nodes that no client has created.
        raise StanzaError("item-not-found", "There is no such node.")
    requested = [item.get("id") for item in items_element.every("item")]
    items = [
        Element("item", PUBSUB, {"id": id}, (parse(xml.encode(), own=True),) if xml else ())
        for id, xml in stored.items()
        if not requested or id in requested
    ]
    return Element("pubsub", PUBSUB, {}, (Element("items", PUBSUB, {"node": node}, tuple(items)),))


async def write(request: IqRequest) -> Element | None:
    """Publish or retract an item (XEP-0060 §7.1, §7.2)."""
    if request.session.user.anonymous:
        raise StanzaError("not-allowed", "A temporary account keeps nothing.")
    publish, retract = request.payload.find("publish"), request.payload.find("retract")
    action = publish or retract
    if action is None:
        raise StanzaError("feature-not-implemented")
    node, given = action.get("node") or "", list(action.every("item"))
    if not node or len(given) != 1 or len(given[0].elements) > 1:
        raise StanzaError("bad-request", "One item is published, with one element, to a node.")
    id = given[0].get("id") or request.context.new_id()
    limit = _max_items(request.payload)
    payload = "".join(element.xml() for element in given[0].elements)

    def make(old: Any) -> Any:
        nodes = old or {}
        items = {other: xml for other, xml in nodes.get(node, {}).items() if other != id}
        if publish is not None:
            items[id] = payload
            items = dict(list(items.items())[-limit:])
        if len(items) > MAX_ITEMS:
            raise StanzaError("resource-constraint", f"A node keeps at most {MAX_ITEMS} items.")
        return {**nodes, node: items}

    await request.context.kv.update_json(_key(request), make)
    if publish is None:
        return None
    item = Element("item", PUBSUB, {"id": id})
    return Element("pubsub", PUBSUB, {}, (Element("publish", PUBSUB, {"node": node}, (item,)),))


def _max_items(payload: Element) -> int:
    """How many items a publisher wants the node to keep (XEP-0060 §7.1.5); for "max" one more than
    a node can have.

    Raises:
        StanzaError: the number is invalid.
    """
    options = payload.find("publish-options")
    fields = form.fields_of(options.find("x", DATA)) if options is not None else {}
    (text,) = fields.get("pubsub#max_items", [])[:1] or ["max"]
    if text == "max":
        return MAX_ITEMS + 1
    if not (text.isascii() and text.isdecimal() and 0 < len(text) < 6 and int(text)):
        raise StanzaError("bad-request", "'pubsub#max_items' is 'max' or a whole number.")
    return min(int(text), MAX_ITEMS + 1)


def _key(request: IqRequest) -> str:
    return internal_name("pep", request.session.jid.bare)


EXTENSION = Extension(
    {
        (ACCOUNT, "get", PUBSUB, "pubsub"): read,
        (ACCOUNT, "set", PUBSUB, "pubsub"): write,
    },
    account_features=(PUBSUB + "#publish", PUBSUB + "#retrieve-items", PUBSUB + "#retract-items"),
)
