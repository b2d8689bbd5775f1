"""Reading, publishing and retracting items (XEP-0060 §6.5, §7.1, §7.2)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson

from pushhub.log.cursor import Cursor, Start
from pushhub.log.event import Draft, DraftError, draft_from_body
from pushhub.log.grant import Action
from pushhub.log.read import Page
from pushhub.store.base import Append, Appended, StoreError
from pushhub.xml import Element, parse
from pushhub.xmpp.model.namespaces import JSON, PUBSUB
from pushhub.xmpp.model.stanza import StanzaError, leaf
from pushhub.xmpp.xep.pubsub.errors import error, unsupported
from pushhub.xmpp.xep.pubsub.notice import JSON_TYPE, RETRACT, XML_TYPE, item, retracted
from pushhub.xmpp.xep.pubsub.rights import named, require
from pushhub.xmpp.xep.rsm import MAX_PAGE, page_set, wanted_page

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pushhub.log.event import Event
    from pushhub.xmpp.model.extension import Query
    from pushhub.xmpp.server import XmppServer

_NUMBER = re.compile(r"[0-9]{1,9}")

# How far back an item is looked for by its id.
MAX_LOOKED_THROUGH = 1000

# An answer is one stanza; what is larger is asked for in pages.
MAX_ITEMS_BYTES = 200_000


# XEP-0060 §16.4.2: as many items as the service keeps.
MAX = "max"


def items_of(max_items: str) -> int | None:
    """The number that a `max_items` says; None if it says none."""
    if max_items == MAX:
        return MAX_LOOKED_THROUGH
    number = int(max_items) if _NUMBER.fullmatch(max_items) else 0
    return number if 0 < number <= MAX_LOOKED_THROUGH else None


def most_items(record: Mapping[str, Any]) -> int:
    """How many items a node has, by what its owners have said: the channel may keep more events,
    which REST reads."""
    return items_of(record.get("max_items", MAX)) or MAX_LOOKED_THROUGH


async def kept(server: XmppServer, node: str, most: int) -> list[Event]:
    """The last items of a channel that were not retracted, oldest first."""
    store = server.hub.store
    last = await store.read(node, Start.LAST, 1)
    assert isinstance(last, Page)
    top = last.cursor.offset
    events: list[Event] = []
    at = Cursor(last.cursor.epoch, max(0, top - MAX_LOOKED_THROUGH))
    while True:
        read = await store.read(node, at, MAX_LOOKED_THROUGH)
        if not isinstance(read, Page):
            if read.oldest == at:
                break
            at = read.oldest
            continue
        events += read.events
        at = read.cursor
        if read.up_to_date or not read.events:
            break
    gone = {id for event in events if (id := retracted(event)) is not None}
    items = {event.id: event for event in events if event.id not in gone and event.type != RETRACT}
    return list(items.values())[-most:]


async def read(query: Query) -> Element:
    """The last items, or those that are named."""
    node = named(query, "items")
    record = await require(query, Action.READ, node)
    asked = query.payload.find("items")
    assert asked is not None
    page = wanted_page(query.payload)
    wanted = _most_wanted(asked, page.most)
    found = await kept(query.server, node, most_items(record))
    count = len(found)
    ids = {each.get("id") for each in asked.every("item")}
    if ids:
        found = [event for event in found if event.id in ids]
    elif page.before or page.after:
        names = [event.id for event in found]
        mark = page.before or page.after or ""
        if mark not in names:
            raise StanzaError("item-not-found", "There is no such item.")
        at = names.index(mark)
        found = found[:at][-page.most :] if page.before else found[at + 1 :][: page.most]
    else:
        found = found[-wanted:] if wanted else []
    size = 0
    elements: list[Element] = []
    for event in reversed(found):
        size += event.size
        if size > MAX_ITEMS_BYTES and elements:
            break
        elements.append(parse(item(event, PUBSUB).encode()))
    elements.reverse()
    inside = Element("items", PUBSUB, {"node": node}, tuple(elements))
    ends = [element.get("id") for element in elements] or [None]
    return Element("pubsub", PUBSUB, {}, (inside, page_set(ends[0], ends[-1], count)))


def _most_wanted(asked: Element, most: int) -> int:
    """How many of the last items an answer has: what `max_items` asks for (XEP-0060 §6.5.7), else
    the page. It has no more than a page; how many there are in all stands beside them.

    Raises:
        StanzaError: `max_items` is no number from 1 on.
    """
    text = asked.get("max_items")
    if text is None or text == MAX:
        return most
    if not _NUMBER.fullmatch(text) or int(text) == 0:
        raise StanzaError("bad-request", "'max_items' is a whole number, and not 0.")
    return min(int(text), MAX_PAGE)


async def publish(query: Query) -> Element:
    """Append an item to the channel; the hub tells everybody, of REST and of XMPP."""
    node = named(query, "publish")
    await require(query, Action.PUBLISH, node)
    if query.payload.find("publish-options") is not None:
        raise unsupported("publish-options")  # Its preconditions would have no effect.
    publishing = query.payload.find("publish")
    assert publishing is not None
    items = list(publishing.every("item"))
    if len(items) != 1:
        raise error("bad-request", "item-required", "One item is published at a time.")
    draft = _draft(items[0])
    # Without an id of its own, the item has the one that the store made for the event.
    id = await _append(query, node, draft)
    told = leaf("item", PUBSUB, id=id)
    inside = Element("publish", PUBSUB, {"node": node}, (told,))
    return Element("pubsub", PUBSUB, {}, (inside,))


async def retract(query: Query) -> None:
    """Take an item back, by an event that says so."""
    node = named(query, "retract")
    record = await require(query, Action.PUBLISH, node)
    retracting = query.payload.find("retract")
    assert retracting is not None
    named_item = retracting.find("item")
    id = named_item.get("id") if named_item is not None else None
    if not id:
        raise error("bad-request", "item-required", "Name the item to be retracted.")
    found = await kept(query.server, node, most_items(record))
    if all(event.id != id for event in found):
        raise StanzaError("item-not-found", "There is no such item.")
    await _append(query, node, Draft(orjson.dumps({RETRACT: id}), JSON_TYPE, RETRACT))


def _draft(element: Element) -> Draft:
    """An item as an event.

    Raises:
        StanzaError: it can be none.
    """
    payloads = element.elements
    if len(payloads) != 1:
        raise error("bad-request", "invalid-payload", "An item has one element in it.")
    payload, id = payloads[0], element.get("id") or ""
    try:
        if (payload.name, payload.namespace) == ("json", JSON):
            return draft_from_body(payload.text.encode(), JSON_TYPE, "", id)
        return Draft(payload.xml().encode(), XML_TYPE, "", id)
    except DraftError as wrong:
        raise error("bad-request", "invalid-payload", str(wrong)) from None


async def _append(query: Query, node: str, draft: Draft) -> str:
    """Append an event, and return its id."""
    append = Append(node, draft, query.server.retention(node))
    (outcome,) = await query.server.hub.recorded(append)
    if isinstance(outcome, StoreError):
        raise outcome
    assert isinstance(outcome, Appended), "there was no condition"
    return outcome.id
