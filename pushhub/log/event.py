"""One published item, before it has a place in the log (`Draft`) and after (`Event`)."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import Any

import orjson

from pushhub.log.cursor import Cursor
from pushhub.log.json_body import JsonError, TooDeep, load

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
BINARY = "application/octet-stream"

# The bound of Redis pub/sub buffers and browsers' patience alike; Centrifugo's default is 64 KiB,
# Ably's 64 KiB.
MAX_EVENT_BYTES = 256 * 1024

# The bytes that orjson allocates for the smallest result.
ORJSON_BUFFER = 4096

# An id or type travels in a header, an SSE field and a log line.
MAX_LABEL_BYTES = 255
_LABEL = re.compile("[^\x00-\x1f\x7f-\x9f\ud800-\udfff]*")

# `gap` is pushhub's own word on a stream; a browser fires `open` and `error` at an EventSource by
# itself.
RESERVED_TYPES = frozenset({"gap", "open", "error"})

_MEDIA_TYPE = re.compile(
    r"[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:[ \t]*;[\x20-\x7e\t]*)?"
)


class DraftError(ValueError):
    """The item cannot be published; the message is a sentence for its publisher."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A publisher's item: data, its content type, and two optional labels.

    `traceparent` is the trace context (W3C) of its publish; empty if that is not traced.
    """

    data: bytes
    content_type: str = JSON
    type: str = ""
    id: str = ""
    traceparent: str = ""

    def __post_init__(self) -> None:
        _check_size(self.data)
        check_label(self.type, "event type")
        check_label(self.id, "event id")
        if self.type in RESERVED_TYPES:
            raise DraftError(
                f"The event type {self.type!r} means something else on a stream; choose another."
            )
        if len(self.content_type) > MAX_LABEL_BYTES or not _MEDIA_TYPE.fullmatch(self.content_type):
            raise DraftError("The content type is no media type (RFC 9110 §8.3.1).")


def check_label(text: str, what: str) -> str:
    """Return an id or type without control characters, which could inject SSE fields (CWE-93).

    Raises:
        DraftError: a control character, or more than 255 bytes.
    """
    if not _LABEL.fullmatch(text):
        raise DraftError(f"An {what} has no control characters.")
    if len(text.encode()) > MAX_LABEL_BYTES:
        raise DraftError(f"An {what} has at most {MAX_LABEL_BYTES} bytes of UTF-8.")
    return text


def draft_from_body(body: bytes, content_type: str, type: str = "", id: str = "") -> Draft:
    """Read a request's whole body as one event.

    JSON is checked, since every reader of a feed would stumble over a broken one. A form-encoded
    body, which is what `curl -d` sends, and one of no declared type are JSON if they parse, else
    text, else bytes.

    Raises:
        DraftError: malformed JSON, or what `Draft` refuses.
    """
    _check_size(body)
    essence = media_type(content_type)
    if essence in ("", "application/x-www-form-urlencoded"):
        content_type = _sniff(body)
    elif essence == JSON or essence.endswith("+json"):
        try:
            load(body)
        except TooDeep as error:
            raise DraftError(f"{error}.") from None
        except JsonError as error:
            raise DraftError(
                f"The body is not the JSON that its content type says: {error}."
            ) from None
        if essence == JSON:
            content_type = JSON
    return Draft(body, content_type, type, id)


def _check_size(data: bytes) -> None:
    if len(data) > MAX_EVENT_BYTES:
        raise DraftError(f"An event has at most {MAX_EVENT_BYTES} bytes of data.")


def _sniff(body: bytes) -> str:
    try:
        load(body)
    except TooDeep as error:
        raise DraftError(f"{error}.") from None
    except JsonError:
        pass
    else:
        return JSON
    return TEXT if _is_utf8(body) else BINARY


def media_type(content_type: str) -> str:
    """The media type without parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


class Event:
    """An item of a channel's log. The epoch and the offset of its publish never change.

    `time` is in milliseconds since 1970 (UTC), by the store's clock. `traceparent` is the trace
    context of the publish, for operators: no client receives it. Two events are the same event when
    channel, epoch and offset are.
    """

    # Not a dataclass: `json` is built once and shared by every response with the event.
    __slots__ = (
        "__dict__",
        "channel",
        "content_type",
        "data",
        "epoch",
        "id",
        "offset",
        "time",
        "traceparent",
        "type",
    )

    def __init__(
        self,
        channel: str,
        epoch: str,
        offset: int,
        data: bytes,
        content_type: str = JSON,
        type: str = "",
        id: str = "",
        time: int = 0,
        traceparent: str = "",
    ) -> None:
        self.channel = channel
        self.epoch = epoch
        self.offset = offset
        self.data = data
        self.content_type = content_type
        self.type = type
        self.id = id or f"{epoch}-{offset}"
        self.time = time
        self.traceparent = traceparent

    @property
    def cursor(self) -> Cursor:
        """The epoch of the event's publish, and its offset. A value's ETag, too."""
        return Cursor(self.epoch, self.offset)

    @cached_property
    def json(self) -> bytes:
        """The event as a JSON object, as a feed lists it; empty fields are left out."""
        return self._listed(self.epoch)

    def json_in(self, epoch: str) -> bytes:
        """The event as a feed of this epoch lists it. A reader can go on from its cursor; the epoch
        of an older event is a field of its own.
        """
        if epoch == self.epoch:
            return self.json
        # All readers of a channel are in the same epoch.
        known: tuple[str, bytes] | None = self.__dict__.get("_json_later")
        if known is None or known[0] != epoch:
            known = self.__dict__["_json_later"] = (epoch, self._listed(epoch))
        return known[1]

    def _listed(self, epoch: str) -> bytes:
        fields: dict[str, object] = {
            "offset": self.offset,
            "cursor": f"{epoch}-{self.offset}",
            "id": self.id,
        }
        if epoch != self.epoch:
            fields["epoch"] = self.epoch
        if self.type:
            fields["type"] = self.type
        fields["time"] = rfc3339(self.time)
        if self.content_type != JSON:
            fields["content_type"] = self.content_type
        fields.update(self._data_fields())
        text = orjson.dumps(fields)
        # orjson's result lies in a buffer of at least 4 KiB, which a kept event would hold on to.
        return bytes(memoryview(text)) if len(text) < ORJSON_BUFFER else text

    @cached_property
    def json_with_channel(self) -> bytes:
        """`json` with the channel's name in front, as in a response about many channels."""
        return self._with_channel(self.json)

    def json_with_channel_in(self, epoch: str) -> bytes:
        """`json_in` with the channel's name in front."""
        if epoch == self.epoch:
            return self.json_with_channel
        return self._with_channel(self.json_in(epoch))

    def _with_channel(self, text: bytes) -> bytes:
        return b'{"channel":' + orjson.dumps(self.channel) + b"," + text[1:]

    @cached_property
    def text(self) -> bytes:
        """The data as UTF-8 for a text transport: as published where it is text, else base64."""
        return base64.b64encode(self.data) if self.encoding else self.data

    @cached_property
    def encoding(self) -> str:
        """How `text` has the data: `base64`, or empty if as it was published."""
        return "" if self.is_json or self._is_text else "base64"

    @property
    def payload(self) -> Any:
        """The data as a Python value: JSON is parsed, text is a `str`, all else stays `bytes`."""
        if self.is_json:
            return orjson.loads(self.data)
        return self.data.decode() if self._is_text else self.data

    @property
    def is_json(self) -> bool:
        essence = media_type(self.content_type)
        return essence == JSON or essence.endswith("+json")

    @property
    def size(self) -> int:
        """The approximate bytes that the event adds to a response."""
        return len(self.data) + 200

    @property
    def _is_text(self) -> bool:
        essence = media_type(self.content_type)
        textual = (
            essence.startswith("text/") or essence == "application/xml" or essence.endswith("+xml")
        )
        return textual and _is_utf8(self.data)

    def _data_fields(self) -> dict[str, object]:
        if self.is_json:
            return {"data": orjson.Fragment(self.data)}
        if self._is_text:
            return {"data": self.data.decode()}
        return {"encoding": "base64", "data": base64.b64encode(self.data).decode()}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Event):
            return NotImplemented
        return (self.channel, self.epoch, self.offset) == (other.channel, other.epoch, other.offset)

    def __hash__(self) -> int:
        return hash((self.channel, self.epoch, self.offset))

    def __repr__(self) -> str:
        return f"<Event {self.channel} {self.epoch}-{self.offset} {len(self.data)} bytes>"


def rfc3339(ms: int) -> str:
    """Milliseconds since 1970 as a UTC timestamp (RFC 3339), to the millisecond."""
    seconds, milliseconds = divmod(ms, 1000)
    return f"{_second(seconds)}.{milliseconds:03}Z"


@lru_cache(maxsize=16)
def _second(seconds: int) -> str:
    # Events of one moment have the same second, and formatting it is slow.
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def join_json(head: bytes, texts: list[bytes], tail: bytes) -> bytes:
    """`head`, the texts with commas between them, and `tail`, in one join: it may be large."""
    commas = [piece for text in texts for piece in (b",", text)][1:]
    return b"".join([head, *commas, tail])
