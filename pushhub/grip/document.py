"""`application/grip-instruct`: the instruct as a JSON document, where an origin sets no headers.

    {"hold": {"mode": "response", "channels": [{"name": "a", "prev-id": "7", "filters": []}],
              "timeout": 25, "keep-alive": {"content": "\\n", "timeout": 30}, "meta": {}},
     "response": {"code": 200, "reason": "OK", "headers": {}, "body": ""}}

Links have no notation here and come as headers. A member of the document overrides the header.
"""

from __future__ import annotations

from typing import Any, NoReturn

from pushhub.grip.fields import GripError
from pushhub.grip.instruct import (
    DEFAULT_TIMEOUT,
    GripSubscription,
    HoldMode,
    Instruct,
    KeepAlive,
    check_meta,
    decode64,
    status_code,
)
from pushhub.grip.json_headers import read_headers
from pushhub.http.raw_response import RawResponse
from pushhub.log.json_body import JsonError, load


def read_document(response: RawResponse, instruct: Instruct) -> Instruct:
    """The instruct of a response's body, merged over the one of its headers.

    Raises:
        GripError: the status is not 200, the body is no JSON object, or a member has a wrong type.
    """
    if response.status != 200:
        _refuse("A response of the type application/grip-instruct has the status 200.")
    try:
        document = load(response.body)
    except JsonError as error:
        _refuse(f"The instruct is no JSON: {error}.")
    if not isinstance(document, dict):
        _refuse("The instruct is a JSON object.")
    plain = _response(document)
    hold = _object(document, "hold")
    if hold is None:
        return Instruct(plain, None, next=instruct.next, gone=instruct.gone, meta=instruct.meta)
    return Instruct(
        plain,
        _mode(hold),
        _channels(hold),
        _seconds(hold, "timeout", DEFAULT_TIMEOUT),
        _keep_alive(hold),
        {**instruct.meta, **_meta(hold)},
        instruct.next,
        instruct.gone,
    )


def _response(document: dict[str, Any]) -> RawResponse:
    """The response for the client; without a `response`, 200 with an empty body."""
    members = _object(document, "response")
    if members is None:
        return RawResponse(200)
    status = status_code(members.get("code", 200), "'code'")
    reason = _text(members, "reason")
    if reason and not reason.isprintable():
        # A line break would end the status line and begin a header (CWE-113).
        _refuse("'reason' of an instruct is a text of one line.")
    headers = read_headers(members.get("headers"), "'headers'")
    if "body-bin" in members:
        body = decode64(_text(members, "body-bin") or "", "'body-bin'")
    else:
        body = (_text(members, "body") or "").encode()
    return RawResponse(status, headers, body, reason=reason.encode() if reason else None)


def _mode(hold: dict[str, Any]) -> HoldMode:
    text = _text(hold, "mode")
    try:
        return HoldMode.RESPONSE if text is None else HoldMode(text)
    except ValueError:
        _refuse("The 'mode' of a hold is 'response' or 'stream'.")


def _channels(hold: dict[str, Any]) -> tuple[GripSubscription, ...]:
    listed = hold.get("channels")
    if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
        _refuse("'channels' of a hold is a list of objects.")
    subscriptions = []
    for entry in listed:
        name = _text(entry, "name")
        if name is None:
            _refuse("A channel of a hold has a 'name'.")
        filters = entry.get("filters", [])
        if not isinstance(filters, list) or not all(isinstance(each, str) for each in filters):
            _refuse("'filters' of a channel is a list of texts.")
        subscriptions.append(GripSubscription(name, _text(entry, "prev-id"), tuple(filters)))
    return tuple(subscriptions)


def _keep_alive(hold: dict[str, Any]) -> KeepAlive | None:
    members = _object(hold, "keep-alive")
    if members is None:
        return None
    if "content-bin" in members:
        content = decode64(_text(members, "content-bin") or "", "'content-bin'")
    else:
        content = (_text(members, "content") or "").encode()
    if not content:
        _refuse("'keep-alive' has 'content', or 'content-bin'.")
    timeout = _seconds(members, "timeout", DEFAULT_TIMEOUT)
    return KeepAlive(content, timeout, _text(members, "mode") == "interval")


def _meta(hold: dict[str, Any]) -> dict[str, str]:
    members = _object(hold, "meta") or {}
    if not all(isinstance(value, str) for value in members.values()):
        _refuse("The values of 'meta' are texts.")
    return check_meta(members)


def _object(parent: dict[str, Any], name: str) -> dict[str, Any] | None:
    members = parent.get(name)
    if members is not None and not isinstance(members, dict):
        _refuse(f"{name!r} of an instruct is an object.")
    return members


def _text(parent: dict[str, Any], name: str) -> str | None:
    members = parent.get(name)
    if members is not None and not isinstance(members, str):
        _refuse(f"{name!r} of an instruct is a text.")
    return members


def _seconds(parent: dict[str, Any], name: str, default: int) -> int:
    members = parent.get(name, default)
    if isinstance(members, bool) or not isinstance(members, int) or members < 0:
        _refuse(f"{name!r} of an instruct is a whole number of seconds.")
    return members


def _refuse(sentence: str) -> NoReturn:
    raise GripError(sentence)
