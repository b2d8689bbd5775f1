"""What a reader receives, and what a publisher receives."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .errors import Problem

JSON = "application/json"

State = Literal["connecting", "catching-up", "live", "offline", "closed"]
"""The state of a subscription.

- `connecting`: no response yet
- `catching-up`: reading events that were published before now
- `live`: a request is held, and the hub delivers new events immediately
- `offline`: no success; the client retries
- `closed`: by `close()`, or refused
"""


@dataclass(frozen=True, slots=True)
class Event:
    """One published event.

    Attributes:
        offset: the position in the channel, from 1; with the log's epoch it identifies the event.
        cursor: the event's position; reading `since` it continues after the event.
        id: the publisher's id, or the cursor.
        time: the time at which the store accepted the event, RFC 3339.
        data: the JSON value, or text, or bytes, by `content_type`.
        type: the publisher's type, or empty.
        fields: the event as the hub listed it.
    """

    channel: str
    offset: int
    cursor: str
    id: str
    time: str
    data: Any
    type: str = ""
    content_type: str = JSON
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Gap:
    """Events of a channel may be lost to this reader: reload your data. Reading continues from
    `oldest`.

    Attributes:
        reason: `epoch` (another log), `trimmed` (removed before they were read) or `ahead` (the
            log lost its end).
    """

    channel: str
    reason: str
    oldest: str
    latest: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """The hub refused one of several channels permanently; the others continue."""

    channel: str
    error: Problem


Message = Event | Gap | Refusal


@dataclass(frozen=True, slots=True)
class Receipt:
    """The hub's acknowledgement: the event is in the log.

    Attributes:
        duplicate: the event was published before with the same idempotency key.
        reached: how far the event is durable (`memory`, `replicated`, `fsync`), if the hub says it.
    """

    channel: str
    epoch: str
    offset: int
    cursor: str
    id: str
    duplicate: bool
    reached: str | None = None


@dataclass(frozen=True, slots=True)
class Representation:
    """One response of a polled URL.

    Attributes:
        data: the JSON value, or text, or bytes, by the content type.
        headers: names are in lower case.
    """

    data: Any
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def etag(self) -> str:
        """The representation's ETag, or empty."""
        return self.headers.get("etag", "")


@dataclass(frozen=True, slots=True)
class Value:
    """The last event of a channel.

    Attributes:
        data: the JSON value, or text, or bytes, by `content_type`.
        cursor: the event's position; a subscription `since` it continues after the value.
        etag: for `if_match` of a publish.
    """

    channel: str
    data: Any
    cursor: str
    etag: str
    id: str
    type: str = ""
    content_type: str = JSON
