"""A GRIP item: what a publisher sends to the holds of a channel.

    {"channel": "a", "id": "8", "prev-id": "7", "formats": {"http-stream": {"content": "hi\\n"}}}

Its formats stand under `formats`, or flat beside the other members. An item is an event of the
hub's log: its data is the item as JSON, without the channel, and its id is the item's. An event
that was published by other means is an item, too: its data is the body of a held response, and is
written to a stream.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn

from pushhub.grip.fields import GripError
from pushhub.grip.instruct import decode64, status_code
from pushhub.grip.json_headers import read_headers
from pushhub.grip.patch import check_patch
from pushhub.http.published_body import published_headers
from pushhub.log.channel import ChannelNameError, public_name
from pushhub.log.event import MAX_EVENT_BYTES, Draft, DraftError, Event, check_label
from pushhub.log.json_body import JsonError, dump_exact, load_exact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pushhub.http.response import Headers

CONTENT_TYPE = "application/grip-item+json"

# Levels around a value of a patch: body, list, item, formats, format, patch, operation.
_AROUND = 7

# The channel on which a node notifies all nodes to recover.
RECOVER_CHANNEL = "$grip-recover"

# As many as a batch of the API has.
MAX_ITEMS = 1000
FORMATS = ("http-response", "http-stream", "ws-message")
_OWN = ("id", "prev-id", "meta", "no-seq", "size")
MAX_META = 64


class DeliveryAction(StrEnum):
    """The effect of an item on a hold."""

    SEND = "send"
    HINT = "hint"
    """The resource changed: pushhub sends the request to the origin again."""
    CLOSE = "close"
    """A stream ends; a held response ignores it."""


# `ws-message` has more actions and types; pushhub has no WebSocket that they apply to.
_WS_ACTIONS = frozenset({*DeliveryAction, "refresh"})
_WS_TYPES = frozenset({"text", "binary", "ping", "pong"})


@dataclass(frozen=True, slots=True)
class ResponseFormat:
    """The response to a held request, with either `body` or `patch`.

    A subscription must have exactly the `content_filters`, if there are any; else it does not
    receive the item.
    """

    action: DeliveryAction = DeliveryAction.SEND
    status: int = 200
    reason: bytes | None = None
    headers: Headers = ()
    body: bytes = b""
    patch: tuple[Mapping[str, Any], ...] | None = None
    content_filters: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class StreamFormat:
    """The content that is written to a stream."""

    action: DeliveryAction = DeliveryAction.SEND
    content: bytes = b""
    content_filters: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """A published item, without its channel."""

    id: str | None = None
    prev_id: str | None = None
    response: ResponseFormat | None = None
    stream: StreamFormat | None = None
    meta: Mapping[str, str] = field(default_factory=dict)
    no_seq: bool = False


class ItemError(GripError):
    """An invalid item of a batch; `index` is its position."""

    def __init__(self, sentence: str, index: int | None = None, *, too_large: bool = False) -> None:
        super().__init__(sentence)
        self.index = index
        self.too_large = too_large


def parse_batch(body: bytes) -> list[tuple[str, Draft]]:
    """Read the body of a publish: each item's channel, and the item as an event's draft.

    Raises:
        ItemError: the body or an item is invalid; nothing of it may be published.
    """
    try:
        document = load_exact(body, _AROUND)
    except JsonError as error:
        raise ItemError(f"The body is no JSON: {error}.") from None
    items = document.get("items") if isinstance(document, dict) else None
    if not isinstance(items, list):
        raise ItemError("The body is an object with a list 'items'.")
    if len(items) > MAX_ITEMS:
        raise ItemError(f"A publish has at most {MAX_ITEMS} items; send two.")
    drafts = []
    for index, item in enumerate(items):
        try:
            drafts.append(_draft(item))
        except ItemError as error:
            raise ItemError(str(error), index, too_large=error.too_large) from None
        except (GripError, DraftError, ChannelNameError) as error:
            raise ItemError(str(error), index) from None
    return drafts


def _draft(document: object) -> tuple[str, Draft]:
    if not isinstance(document, dict):
        _refuse("An item is an object.")
    channel = document.get("channel")
    if not isinstance(channel, str):
        _refuse("An item names its 'channel'.")
    formats = _formats(document)
    kept = {name: document[name] for name in _OWN if name in document}
    read_item({**kept, "formats": formats})
    data = dump_exact({**kept, "formats": formats})
    if len(data) > MAX_EVENT_BYTES:
        raise ItemError(f"An item has at most {MAX_EVENT_BYTES} bytes as JSON.", too_large=True)
    return public_name(channel), Draft(data, CONTENT_TYPE, id=document.get("id") or "")


def _formats(document: dict[str, Any]) -> dict[str, Any]:
    """The known formats, nested or flat."""
    nested = document.get("formats", document)
    if not isinstance(nested, dict):
        _refuse("'formats' is an object.")
    formats = {name: nested[name] for name in FORMATS if name in nested}
    if not formats:
        _refuse(f"An item has at least one format: {', '.join(FORMATS)}.")
    return formats


def read_item(document: dict[str, Any]) -> Item:
    """The item of a JSON object with its formats under `formats`.

    Raises:
        GripError: a member has a wrong type, or is out of bounds.
    """
    formats = document["formats"]
    item_id, prev_id = _text(document, "id"), _text(document, "prev-id")
    for label in (item_id, prev_id):
        check_label(label or "", "item's id")
    meta = document.get("meta") or {}
    if not isinstance(meta, dict) or not all(isinstance(value, str) for value in meta.values()):
        _refuse("'meta' is an object whose values are texts.")
    if len(meta) > MAX_META:
        _refuse(f"'meta' has at most {MAX_META} values.")
    if not isinstance(document.get("no-seq", False), bool):
        _refuse("'no-seq' is true or false.")
    size = document.get("size", 0)
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        _refuse("'size' is a whole number.")
    if "ws-message" in formats:
        _check_message(_object(formats, "ws-message"))
    return Item(
        item_id or None,
        prev_id or None,
        _response(_object(formats, "http-response")) if "http-response" in formats else None,
        _stream(_object(formats, "http-stream")) if "http-stream" in formats else None,
        meta,
        document.get("no-seq", False),
    )


@lru_cache(maxsize=64)
def item_of(event: Event) -> Item:
    """The item of an event. Cached, because all holds of a channel parse the same event."""
    own_id = None if event.id == str(event.cursor) else event.id
    if event.content_type == CONTENT_TYPE:
        try:
            return read_item(load_exact(event.data, _AROUND))
        except (JsonError, GripError, DraftError, KeyError, TypeError, AttributeError):
            # Published by other means, with a content type that belongs to GRIP.
            return Item(own_id)
    # A publisher chose this body. A GRIP item is the origin's own, and has its own headers.
    content_type = (b"Content-Type", event.content_type.encode("latin-1"))
    headers = (content_type, *published_headers(event.content_type))
    return Item(
        own_id,
        None,
        ResponseFormat(headers=headers, body=event.data),
        StreamFormat(content=event.data),
    )


def _response(members: dict[str, Any]) -> ResponseFormat:
    action = _action(members)
    if action is not DeliveryAction.SEND:
        return ResponseFormat(action)
    body, patch = b"", None
    if "body-bin" in members:
        body = decode64(_text(members, "body-bin") or "", "'body-bin'")
    elif "body" in members:
        body = (_text(members, "body") or "").encode()
    elif "body-patch" in members:
        patch = check_patch(members["body-patch"])
    else:
        _refuse("An 'http-response' has 'body', 'body-bin' or 'body-patch'.")
    reason = _text(members, "reason")
    if reason and not reason.isprintable():
        _refuse("'reason' is a text of one line.")
    headers = read_headers(members.get("headers"), "'headers'")
    return ResponseFormat(
        action,
        status_code(members.get("code", 200), "'code'"),
        reason.encode() if reason else None,
        tuple(pair for pair in headers if pair[0][:5].lower() != b"grip-"),
        body,
        patch,
        _filters(members),
    )


def _stream(members: dict[str, Any]) -> StreamFormat:
    action = _action(members)
    if action is not DeliveryAction.SEND:
        return StreamFormat(action)
    if "content-bin" in members:
        content = decode64(_text(members, "content-bin") or "", "'content-bin'")
    elif "content" in members:
        content = (_text(members, "content") or "").encode()
    else:
        _refuse("An 'http-stream' has 'content' or 'content-bin'.")
    return StreamFormat(action, content, _filters(members))


def _check_message(members: dict[str, Any]) -> None:
    """Check a `ws-message` as Pushpin does, so that a publisher learns of mistakes."""
    action = _text(members, "action") or "send"
    if action not in _WS_ACTIONS:
        _refuse("The 'action' of a 'ws-message' is send, hint, close or refresh.")
    kind = _text(members, "type")
    if kind is not None and kind not in _WS_TYPES:
        _refuse("The 'type' of a 'ws-message' is text, binary, ping or pong.")
    if "content-bin" in members:
        decode64(_text(members, "content-bin") or "", "'content-bin'")
    elif "content" in members:
        _text(members, "content")
    elif action == "send" and kind not in ("ping", "pong"):
        _refuse("A 'ws-message' has 'content' or 'content-bin'.")


def _action(members: dict[str, Any]) -> DeliveryAction:
    try:
        return DeliveryAction(_text(members, "action") or "send")
    except ValueError:
        _refuse("An 'action' is send, hint or close.")


def _filters(members: dict[str, Any]) -> tuple[str, ...] | None:
    filters = members.get("content-filters")
    if filters is None:
        return None
    if not isinstance(filters, list) or not all(isinstance(name, str) for name in filters):
        _refuse("'content-filters' is a list of texts.")
    return tuple(filters)


def _object(parent: dict[str, Any], name: str) -> dict[str, Any]:
    members = parent[name]
    if not isinstance(members, dict):
        _refuse(f"{name!r} is an object.")
    return members


def _text(parent: dict[str, Any], name: str) -> str | None:
    members = parent.get(name)
    if members is not None and not isinstance(members, str):
        _refuse(f"{name!r} is a text.")
    return members


def _refuse(sentence: str) -> NoReturn:
    raise GripError(sentence)
