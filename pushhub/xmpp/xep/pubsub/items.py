"""Reading, publishing and retracting items (XEP-0060 §6.5, §7.1, §7.2)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson

from pushhub.log.cursor import Cursor, Start
from pushhub.log.event import Draft, DraftError, draft_from_body
from pushhub.log.grant import Action
from pushhub.log.read import Page
from pushhub.store.base import Append, Appended, StoreError, outcomes_of
from pushhub.xml import Element, parse
from pushhub.xmpp.model.namespaces import JSON, PUBSUB
from pushhub.xmpp.model.stanza import StanzaError, leaf
from pushhub.xmpp.xep.pubsub.errors import error, unsupported
from pushhub.xmpp.xep.pubsub.notifications import JSON_TYPE, RETRACT, XML_TYPE, item, retracted
from pushhub.xmpp.xep.pubsub.rights import requested_node, require
from pushhub.xmpp.xep.rsm import MAX_PAGE, page_set, requested_page

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pushhub.log.event import Event
    from pushhub.xmpp.context import Context
    from pushhub.xmpp.routing.extension import IqRequest

_NUMBER = re.compile(r"[0-9]{1,9}")

# How many events a search for an item's id reads.
MAX_SEARCHED = 1000

# Beyond so many bytes a search finds no older items.
MAX_SEARCHED_BYTES = 4 * 1024 * 1024
# The events of one read.
SEARCH_WINDOW = 100

# A result is one stanza; clients request larger ones in pages.
MAX_ITEMS_BYTES = 200_000


# XEP-0060 §16.4.2: the value for as many items as the service keeps.
MAX = "max"


def parse_max_items(max_items: str) -> int | None:
    """The number in a `max_items`; None for an invalid one."""
    if max_items == MAX:
        return MAX_SEARCHED
    number = int(max_items) if _NUMBER.fullmatch(max_items) else 0
    return number if 0 < number <= MAX_SEARCHED else None


def max_items(record: Mapping[str, Any]) -> int:
    """How many items a node has, by its record: the channel may keep more events, which REST
    reads."""
    return parse_max_items(record.get("max_items", MAX)) or MAX_SEARCHED


async def stored_items(context: Context, node: str, limit: int) -> list[Event]:
    """The last items of a channel without retracted ones, oldest first."""
    store = context.hub.store
    last = await store.read(node, Start.LAST, 1)
    assert isinstance(last, Page)
    top = last.cursor.offset
    # Newest first, in windows, so that events of 256 KiB do not fill the memory.
    windows: list[list[Event]] = []
    size, high = 0, top
    lowest = max(0, top - MAX_SEARCHED)
    while high > lowest and size < MAX_SEARCHED_BYTES:
        low = max(lowest, high - SEARCH_WINDOW)
        window: list[Event] = []
        at = Cursor(last.cursor.epoch, low)
        while at.offset < high:
            read = await store.read(node, at, high - at.offset)
            if not isinstance(read, Page):
                if read.oldest.offset <= at.offset or read.oldest.offset >= high:
                    break
                at = read.oldest
                continue
            if not read.events:
                break
            window += [event for event in read.events if event.offset <= high]
            at = read.cursor
        windows.append(window)
        size += sum(event.size for event in window)
        high = low if window else lowest
    events = [event for window in reversed(windows) for event in window]
    retracted_ids = {id for event in events if (id := retracted(event)) is not None}
    items = {
        event.id: event
        for event in events
        if event.id not in retracted_ids and event.type != RETRACT
    }
    return list(items.values())[-limit:]


async def read(request: IqRequest) -> Element:
    """The last items, or those with the requested ids."""
    node = requested_node(request, "items")
    record = await require(request, Action.READ, node)
    element = request.payload.find("items")
    assert element is not None
    page = requested_page(request.payload)
    limit = _item_limit(element, page.limit)
    found = await stored_items(request.context, node, max_items(record))
    count = len(found)
    ids = {each.get("id") for each in element.every("item")}
    if ids:
        found = [event for event in found if event.id in ids]
    elif page.before or page.after:
        names = [event.id for event in found]
        anchor = page.before or page.after or ""
        if anchor not in names:
            raise StanzaError("item-not-found", "There is no such item.")
        at = names.index(anchor)
        found = found[:at][-page.limit :] if page.before else found[at + 1 :][: page.limit]
    else:
        found = found[-limit:] if limit else []
    size = 0
    elements: list[Element] = []
    for event in reversed(found):
        size += event.size
        if size > MAX_ITEMS_BYTES and elements:
            break
        elements.append(parse(item(event, PUBSUB).encode()))
    elements.reverse()
    content = Element("items", PUBSUB, {"node": node}, tuple(elements))
    ends = [element.get("id") for element in elements] or [None]
    return Element("pubsub", PUBSUB, {}, (content, page_set(ends[0], ends[-1], count)))


def _item_limit(element: Element, limit: int) -> int:
    """How many of the last items a result has: the requested `max_items` (XEP-0060 §6.5.7), else
    the page's size, and no more than a page. The result also has the total count.

    Raises:
        StanzaError: `max_items` is no number from 1.
    """
    text = element.get("max_items")
    if text is None or text == MAX:
        return limit
    if not _NUMBER.fullmatch(text) or int(text) == 0:
        raise StanzaError("bad-request", "'max_items' is a whole number, and not 0.")
    return min(int(text), MAX_PAGE)


async def publish(request: IqRequest) -> Element:
    """Append an item to the channel; the hub notifies all readers, of REST and of XMPP."""
    node = requested_node(request, "publish")
    await require(request, Action.PUBLISH, node)
    if request.payload.find("publish-options") is not None:
        raise unsupported("publish-options")  # They would have no effect.
    publishing = request.payload.find("publish")
    assert publishing is not None
    items = list(publishing.every("item"))
    if len(items) != 1:
        raise error("bad-request", "item-required", "One item is published at a time.")
    draft = _draft(items[0])
    # An item without an id gets the one that the store assigned to the event.
    id = await _append(request, node, draft)
    published = leaf("item", PUBSUB, id=id)
    content = Element("publish", PUBSUB, {"node": node}, (published,))
    return Element("pubsub", PUBSUB, {}, (content,))


async def retract(request: IqRequest) -> None:
    """Retract an item, by an event of that type."""
    node = requested_node(request, "retract")
    record = await require(request, Action.PUBLISH, node)
    retracting = request.payload.find("retract")
    assert retracting is not None
    named_item = retracting.find("item")
    id = named_item.get("id") if named_item is not None else None
    if not id:
        raise error("bad-request", "item-required", "Name the item to be retracted.")
    found = await stored_items(request.context, node, max_items(record))
    if all(event.id != id for event in found):
        raise StanzaError("item-not-found", "There is no such item.")
    await _append(request, node, Draft(orjson.dumps({RETRACT: id}), JSON_TYPE, RETRACT))


def _draft(element: Element) -> Draft:
    """An item as an event.

    Raises:
        StanzaError: the item is invalid.
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


async def _append(request: IqRequest, node: str, draft: Draft) -> str:
    """Publish an event, and return its id."""
    append = Append(node, draft, request.context.retention(node))
    (outcome,) = await outcomes_of(request.context.hub.publish, [append])
    if isinstance(outcome, StoreError):
        raise outcome
    assert isinstance(outcome, Appended), "there was no condition"
    return outcome.id
