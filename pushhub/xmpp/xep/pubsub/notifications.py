"""Events of a channel as PubSub items and notifications."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import orjson

from pushhub.log.event import JSON as JSON_TYPE
from pushhub.log.event import rfc3339
from pushhub.xml import XmlError, escape, parse, quote
from pushhub.xmpp.model import namespaces as ns

if TYPE_CHECKING:
    from pushhub.log.event import Event

# The type of an event that retracts an earlier one, and the member that names it.
RETRACT = "retract"
XML_TYPE = "application/xml"


def retracted(event: Event) -> str | None:
    """The id of the item that an event retracts; None for any other event."""
    if event.type != RETRACT or not event.is_json:
        return None
    data = orjson.loads(event.data)
    id = data.get(RETRACT) if isinstance(data, dict) else None
    return id if isinstance(id, str) else None


def payload(event: Event) -> str:
    """The content of an item: an event's JSON in `<json/>` (XEP-0335), XML unchanged, text as a
    JSON string, and bytes as base64 in an object."""
    if event.is_json:
        return _json(event.data.decode())
    if "xml" in event.content_type:
        try:
            return parse(event.data).xml()
        except XmlError:
            pass
    text = event.text.decode()
    if text.encode() == event.data:
        return _json(orjson.dumps(text).decode())
    fields: dict[str, Any] = {
        "content_type": event.content_type,
        "encoding": "base64",
        "data": base64.b64encode(event.data).decode(),
    }
    return _json(orjson.dumps(fields).decode())


def item(event: Event, namespace: str) -> str:
    """An item with its content; `namespace` is that of the parent element."""
    return f"<item xmlns='{namespace}' id='{quote(event.id)}'>{payload(event)}</item>"


def notification(event: Event) -> str:
    """The notification of an event (XEP-0060 §7.1.2.1, §7.2.2.1), without its message."""
    node = quote(event.channel)
    id = retracted(event)
    inside = item(event, ns.PUBSUB_EVENT)
    if id is not None:
        inside = f"<retract id='{quote(id)}'/>"
    return f"<event xmlns='{ns.PUBSUB_EVENT}'><items node='{node}'>{inside}</items></event>"


def deleted(node: str) -> str:
    """The notification of a channel's deletion (XEP-0060 §8.4.2)."""
    return f"<event xmlns='{ns.PUBSUB_EVENT}'><delete node='{quote(node)}'/></event>"


def message(sender: str, content: str, event: Event | None = None) -> tuple[bytes, bytes]:
    """A notification's message: the bytes before the quoted address of its recipient, and those
    after. `event` adds the delay of an older event (XEP-0060 §6.1.7)."""
    late = ""
    if event is not None:
        late = f"<delay xmlns='{ns.DELAY}' stamp='{rfc3339(event.time)}'/>"
    head = f"<message xmlns='{ns.CLIENT}' from='{quote(sender)}' to='"
    return head.encode(), f"' type='headline'>{content}{late}</message>".encode()


def _json(text: str) -> str:
    return f"<json xmlns='{ns.JSON}'>{escape(text)}</json>"


__all__ = ["JSON_TYPE", "XML_TYPE", "deleted", "item", "message", "notification", "retracted"]
