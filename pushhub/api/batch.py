"""`POST /v1/publish`: a JSON item or a list of them, each for one or many channels.

All of the request is checked before any of it is published. After that each append stands alone.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

import orjson

from pushhub.api.limits import count_created, count_publish, publish_fields, refused_creation
from pushhub.api.publish import receipt, refusal
from pushhub.api.service import store_unavailable
from pushhub.http.caching import NO_STORE
from pushhub.http.etag import ANY, parse_tags
from pushhub.http.problem import Problem
from pushhub.http.response import Response
from pushhub.hub.hold import Hold
from pushhub.log.channel import ChannelNameError, public_name
from pushhub.log.cursor import CursorError, parse_cursor
from pushhub.log.event import (
    JSON,
    MAX_EVENT_BYTES,
    Draft,
    DraftError,
    check_label,
    media_type,
)
from pushhub.log.grant import Action
from pushhub.log.json_body import (
    MAX_JSON_DEPTH,
    JsonError,
    TooDeep,
    check_depth,
    load,
    raw_members,
)
from pushhub.polls.feed import JSON as JSON_HEADER
from pushhub.store.base import ANY_VALUE, Append, Appended, Expect, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pushhub.api.service import Service
    from pushhub.http.request import Request
    from pushhub.log.grant import Grant
    from pushhub.store.base import Outcome

# Appends of one request: it is one transaction of the store, and no other publish should wait long
# for it.
MAX_APPENDS = 1000

_FIELDS = frozenset(
    {
        "channel",
        "channels",
        "content_type",
        "data",
        "encoding",
        "id",
        "idempotency_key",
        "if_match",
        "type",
    }
)


def batch(service: Service, request: Request, grant: Grant) -> Hold:
    """Publish every item; the results are listed in the order of the items and their channels."""
    items = _items(request.body)
    texts = _texts(request.body)
    appends: list[Append] = []
    owners: list[int] = []
    for index, item in enumerate(items):
        try:
            for append in _appends(service, grant, item, next(texts)):
                appends.append(append)
                owners.append(index)
        except Problem as problem:
            problem.members["item"] = index
            raise
        if len(appends) > MAX_APPENDS:
            raise Problem(
                "too-large",
                f"A request publishes to at most {MAX_APPENDS} channels in all; use two requests.",
                limit=MAX_APPENDS,
            )
    appends = count_publish(request, appends)
    hold = Hold()

    def done(outcomes: list[Outcome]) -> None:
        count_created(request, outcomes)
        failed = [outcome for outcome in outcomes if isinstance(outcome, StoreError)]
        if outcomes and len(failed) == len(outcomes):
            hold.complete(service.refuse(store_unavailable(failed[0])))
            return
        results = [
            {"item": index, **_result(request, append, outcome)}
            for index, append, outcome in zip(owners, appends, outcomes, strict=True)
        ]
        headers = (JSON_HEADER, NO_STORE, *publish_fields(request))
        hold.complete(Response(200, headers, orjson.dumps({"results": results})))

    service.hub.publish(appends, done)
    return hold


def _result(request: Request, append: Append, outcome: Outcome) -> dict[str, Any]:
    channel = append.channel
    if isinstance(outcome, Appended):
        return receipt(channel, outcome)
    problem = refused_creation(request, append, outcome) or refusal(channel, outcome)
    return {"channel": channel, "error": problem.to_dict()}


def _items(body: bytes) -> list[Any]:
    try:
        # The list and the item are around the data.
        document = load(body, around=2)
    except JsonError as error:
        raise Problem("bad-body", f"The body is not JSON: {error}.") from None
    items = document if isinstance(document, list) else [document]
    if not items:
        raise Problem("bad-body", "The list has no items.")
    return items


def _texts(body: bytes) -> Iterator[dict[str, bytes]]:
    """The members of each item as they were sent: an event keeps the bytes of its data."""
    try:
        yield from raw_members(body)
    except JsonError as error:
        raise Problem("bad-body", f"An item is ambiguous: {error}.") from None


def _appends(
    service: Service, grant: Grant, item: object, texts: Mapping[str, bytes]
) -> list[Append]:
    if not isinstance(item, dict):
        raise Problem("bad-body", 'An item is an object: {"channel": "news", "data": …}.')
    if unknown := item.keys() - _FIELDS:
        raise Problem(
            "bad-body",
            f"An item has no field {min(unknown)!r}; it has {', '.join(sorted(_FIELDS))}.",
        )
    draft = _draft(item, texts)
    key = _text(item, "idempotency_key")
    expect = _expect(_text(item, "if_match"))
    try:
        check_label(key, "idempotency key")
    except DraftError as error:
        raise Problem("bad-body", str(error)) from None
    appends = []
    for channel in _channels(item):
        service.authority.require(grant, Action.PUBLISH, channel)
        retention = service.retention(channel)
        appends.append(Append(channel, draft, retention, expect, key))
    return appends


def _channels(item: dict[str, Any]) -> list[str]:
    if ("channel" in item) == ("channels" in item):
        raise Problem("bad-body", "An item needs either 'channel' or 'channels'.")
    names = [item["channel"]] if "channel" in item else item["channels"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise Problem("bad-body", "'channel' must be a name, and 'channels' a list of names.")
    if not names or len(set(names)) != len(names):
        raise Problem(
            "bad-body", "'channels' must have at least one channel, and no channel twice."
        )
    try:
        return [public_name(name) for name in names]
    except ChannelNameError as error:
        raise Problem("bad-channel", str(error)) from None


def _draft(item: dict[str, Any], texts: Mapping[str, bytes]) -> Draft:
    if "data" not in item:
        raise Problem("bad-body", "An item needs 'data'.")
    data, content_type = item["data"], _text(item, "content_type")
    try:
        body = _bytes(data, texts["data"], content_type, _text(item, "encoding"))
        if len(body) > MAX_EVENT_BYTES:
            raise Problem(
                "too-large",
                f"An event has at most {MAX_EVENT_BYTES} bytes of data.",
                limit=MAX_EVENT_BYTES,
            )
        return Draft(body, content_type or JSON, _text(item, "type"), _text(item, "id"))
    except TooDeep as error:
        raise Problem("bad-body", f"{error}.", limit=MAX_JSON_DEPTH) from None
    except DraftError as error:
        raise Problem("bad-body", str(error)) from None


def _bytes(data: object, text: bytes, content_type: str, encoding: str) -> bytes:
    essence = media_type(content_type)
    if encoding == "base64" and content_type and isinstance(data, str):
        try:
            return base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError):
            raise DraftError("'data' must be base64, because 'encoding' says so.") from None
    if encoding:
        raise DraftError(
            "'encoding' can only be 'base64'; then 'data' must be text, with a 'content_type'."
        )
    if essence in ("", JSON) or essence.endswith("+json"):
        check_depth(text)
        return text
    if not isinstance(data, str):
        raise DraftError(f"'data' of the content type {content_type!r} is text, or base64.")
    return data.encode()


def _expect(text: str) -> Expect | None:
    if not text:
        return None
    tags = parse_tags(text)
    if ANY in tags:
        return ANY_VALUE
    try:
        return Expect(frozenset(map(parse_cursor, tags)) or frozenset([parse_cursor(text)]))
    except CursorError:
        raise Problem("bad-body", "'if_match' must be the cursor or ETag of the value.") from None


def _text(item: dict[str, Any], name: str) -> str:
    text = item.get(name, "")
    if not isinstance(text, str):
        raise Problem("bad-body", f"'{name}' is text.")
    return text
