"""Requests as bytes, and responses as messages."""

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from ..errors import InvalidResponse, Problem
from ..messages import JSON, Event, Gap, Receipt, Representation, Value
from .pace import delay

Decode = Callable[[bytes], Any]
"""Reads JSON, as `json.loads`."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_NOT_A_HUB = "The response is not a hub's; check the URL."


@dataclass(frozen=True, slots=True)
class Request:
    """A request to the hub; `path` begins after the hub's URL.

    Attributes:
        timeout: the seconds until the response has to be complete.
    """

    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    timeout: float = 30.0


def dump(value: Any) -> bytes:
    """A value as JSON.

    Raises:
        ValueError, TypeError: the value is no JSON, for example NaN or an object of a class.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode()


def channel_path(channel: str) -> str:
    """The path of a channel: its name is one percent-encoded segment."""
    return "/v1/channels/" + quote(channel, safe="")


def is_json(content_type: str) -> bool:
    """Whether a media type is JSON, as `application/json` or with `+json` (RFC 6839)."""
    essence = content_type.partition(";")[0].strip().lower()
    return essence == JSON or essence.endswith("+json")


def problem_of(status: int, headers: Mapping[str, str], body: bytes) -> Problem:
    """A response that is no success, as an error."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        fields = {}
        if status in _REDIRECTS and (target := headers.get("location")):
            fields = {"detail": f"The server redirects to {target}; give the client that URL."}
        elif status in (404, 405):
            fields = {"detail": f"The server responded with HTTP {status}; check the URL."}
    return Problem(status, fields, delay(headers.get("retry-after")))


def object_of(body: bytes, decode: Decode = json.loads) -> dict[str, Any]:
    """The JSON object of a body.

    Raises:
        InvalidResponse: the body is something else.
    """
    try:
        value = decode(body)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise InvalidResponse(_NOT_A_HUB)
    return value


# -- reading -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Page:
    """A response of `/v1/poll`, or one message of its stream."""

    events: list[Event]
    cursors: dict[str, str]
    gaps: dict[str, Gap]
    retry: float


def page_of(body: bytes, decode: Decode) -> Page:
    """Read a response of `/v1/poll`.

    Raises:
        InvalidResponse: the body is something else.
    """
    fields = object_of(body, decode)
    try:
        return Page(
            [_event(event) for event in fields["events"]],
            {str(channel): str(cursor) for channel, cursor in fields["cursors"].items()},
            {
                channel: Gap(channel, gap["reason"], gap["oldest"], gap["latest"])
                for channel, gap in fields.get("gaps", {}).items()
            },
            delay(fields.get("retry_ms"), 0.001),
        )
    except (KeyError, TypeError, AttributeError, binascii.Error):
        raise InvalidResponse(_NOT_A_HUB) from None


def _event(fields: dict[str, Any]) -> Event:
    data = fields["data"]
    if fields.get("encoding") == "base64":
        data = base64.b64decode(data)
    return Event(
        fields["channel"],
        fields["offset"],
        fields["cursor"],
        fields["id"],
        fields["time"],
        data,
        fields.get("type", ""),
        fields.get("content_type", JSON),
        fields,
    )


def data_of(content_type: str, body: bytes, decode: Decode) -> Any:
    """A body by its media type: a JSON value, text, or bytes.

    Raises:
        InvalidResponse: the body is not of that type.
    """
    try:
        if is_json(content_type):
            return decode(body)
        if content_type.strip().lower().startswith("text/"):
            return body.decode()
    except ValueError:
        raise InvalidResponse(f"The body is no {content_type}.") from None
    return body


def representation_of(
    headers: Mapping[str, str], body: bytes, decode: Decode = json.loads
) -> Representation:
    """The representation in a response.

    Raises:
        InvalidResponse: the body is not of its content type.
    """
    content_type = headers.get("content-type", "application/octet-stream")
    lower = {name.lower(): value for name, value in headers.items()}
    return Representation(data_of(content_type, body, decode), lower, body)


def value_request(channel: str) -> Request:
    """A read of the last event of a channel."""
    return Request("GET", channel_path(channel))


def value_of(
    channel: str, headers: Mapping[str, str], body: bytes, decode: Decode = json.loads
) -> Value:
    """The value in a response."""
    etag = headers.get("etag", "")
    content_type = headers.get("content-type", "application/octet-stream")
    cursor = etag.removeprefix("W/").strip('"')
    return Value(
        channel,
        data_of(content_type, body, decode),
        cursor,
        etag,
        headers.get("event-id", cursor),
        headers.get("event-type", ""),
        content_type,
    )


# -- publishing --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a batch: `data` for one channel or for many.

    Attributes:
        data: any JSON; text or bytes of `content_type`, if that is given. Bytes without it are
            `application/octet-stream`.
        idempotency_key: a publish with the same key and data can be sent again, and happens once.
        if_match: a cursor or ETag: publish only if this is still the value; `*`: only if there is
            a value.
    """

    channel: str | Sequence[str]
    data: Any
    type: str | None = None
    id: str | None = None
    idempotency_key: str | None = None
    if_match: str | None = None
    content_type: str | None = None

    def fields(self) -> dict[str, Any]:
        """The item as `POST /v1/publish` takes it."""
        one = isinstance(self.channel, str)
        fields: dict[str, Any] = {
            "channel" if one else "channels": self.channel if one else list(self.channel),
            "data": self.data,
        }
        content_type = self.content_type
        if isinstance(self.data, bytes):
            fields["data"] = base64.b64encode(self.data).decode()
            fields["encoding"] = "base64"
            content_type = content_type or "application/octet-stream"
        fields |= {
            name: value
            for name, value in (
                ("type", self.type),
                ("id", self.id),
                ("idempotency_key", self.idempotency_key),
                ("if_match", self.if_match),
                ("content_type", content_type),
            )
            if value is not None
        }
        return fields


def with_key(item: Item, key: str) -> Item:
    """The item with an idempotency key, its own or this one, so that it can be sent again."""
    return item if item.idempotency_key else replace(item, idempotency_key=key)


def publish_request(item: Item, *, if_none_match: bool = False, timeout: float) -> Request:
    """A publish of one event to one channel.

    Args:
        if_none_match: publish only if the channel has no value yet.
    """
    if not isinstance(item.channel, str):
        raise TypeError("publish() takes one channel; publish_many() takes more.")
    body: bytes
    content_type = item.content_type
    if isinstance(item.data, bytes):
        body = item.data
        content_type = "application/octet-stream" if content_type is None else content_type
    elif isinstance(item.data, str) and content_type is not None and not is_json(content_type):
        body = item.data.encode()
    else:
        body = dump(item.data)
        content_type = content_type or JSON
    headers = {
        name: value
        for name, value in (
            ("Content-Type", content_type),
            ("Event-Type", item.type),
            ("Event-Id", item.id),
            ("Idempotency-Key", item.idempotency_key),
            ("If-Match", _entity_tag(item.if_match)),
            ("If-None-Match", "*" if if_none_match else None),
        )
        if value
    }
    return Request("POST", channel_path(item.channel) + "/events", headers, body, timeout)


def batch_request(items: Sequence[Item], *, timeout: float) -> Request:
    """A publish of many events."""
    return Request(
        "POST",
        "/v1/publish",
        {"Content-Type": JSON},
        dump([item.fields() for item in items]),
        timeout,
    )


def _entity_tag(condition: str | None) -> str | None:
    """A cursor as an ETag; an ETag and `*` as they are."""
    if condition is None or condition == "*" or condition.endswith('"'):
        return condition
    return f'"{condition}"'


def receipt_of(fields: Mapping[str, Any]) -> Receipt:
    """A receipt from its JSON.

    Raises:
        InvalidResponse: it is something else.
    """
    try:
        return Receipt(
            fields["channel"],
            fields["epoch"],
            fields["offset"],
            fields["cursor"],
            fields["id"],
            fields["duplicate"],
            fields.get("reached"),
        )
    except (KeyError, TypeError):
        raise InvalidResponse(_NOT_A_HUB) from None


def results_of(body: bytes) -> Iterator[Receipt | Problem]:
    """The receipts and problems of a batch, in its order.

    Raises:
        InvalidResponse: it is something else.
    """
    results = object_of(body).get("results")
    if not isinstance(results, list):
        raise InvalidResponse(_NOT_A_HUB)
    for result in results:
        error = result.get("error")
        yield Problem(error.get("status", 0), error) if error else receipt_of(result)
