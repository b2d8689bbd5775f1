"""Publishing from Python: values become events, and refusals exceptions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from pushhub.api.publish import refusal
from pushhub.http.problem import Problem
from pushhub.log.channel import ChannelNameError, public_name
from pushhub.log.event import BINARY, JSON, Draft, DraftError, check_label, draft_from_body
from pushhub.store.base import Append, Appended, outcomes_of

if TYPE_CHECKING:
    from pushhub.api.service import Service
    from pushhub.log.cursor import Cursor
    from pushhub.store.base import Expect


@dataclass(frozen=True, slots=True)
class Receipt:
    """The event is in the log. `cursor` is its position: a subscription from there on receives the
    events after it. `duplicate`: an earlier publish with the same idempotency key has put it there.
    """

    channel: str
    cursor: Cursor
    id: str
    duplicate: bool = False


def checked_channel(name: str) -> str:
    """A channel name from Python.

    Raises:
        Problem: `bad-channel`.
    """
    try:
        return public_name(name)
    except ChannelNameError as error:
        raise Problem("bad-channel", str(error)) from None


def draft_of(data: Any, content_type: str | None, type: str, id: str) -> Draft:
    """The event of a Python value: bytes as they are, everything else as JSON. With a
    `content_type` a `str` is sent as text of this type.

    Raises:
        Problem: `bad-body`, for a value without a JSON form or one that is too large.
    """
    try:
        if isinstance(data, bytes | bytearray | memoryview):
            return draft_from_body(bytes(data), content_type or BINARY, type, id)
        if isinstance(data, str) and content_type is not None:
            return draft_from_body(data.encode(), content_type, type, id)
        return Draft(orjson.dumps(data), content_type or JSON, type, id)
    except orjson.JSONEncodeError as error:
        detail = f"The data cannot be written as JSON: {error}. Bytes are published as they are."
        raise Problem("bad-body", detail) from None
    except (DraftError, UnicodeError) as error:
        raise Problem("bad-body", str(error)) from None


async def publish(service: Service, append: Append) -> Receipt:
    """Append one event, and wait until it is in the log.

    Raises:
        Problem: `precondition-failed`, `key-reused`, `namespace-full` or `store-unavailable`.
    """
    (outcome,) = await outcomes_of(service.hub.publish, [append])
    if isinstance(outcome, Appended):
        return Receipt(append.channel, outcome.position, outcome.id, outcome.duplicate)
    raise refusal(append.channel, outcome)


def append_of(
    service: Service, channel: str, draft: Draft, expect: Expect | None, key: str
) -> Append:
    """The append of an event from Python, with the retention of its channel.

    Raises:
        Problem: `bad-channel` or `bad-body`.
    """
    name = checked_channel(channel)
    try:
        check_label(key, "idempotency key")
    except DraftError as error:
        raise Problem("bad-body", str(error)) from None
    return Append(name, draft, service.retention(name), expect, key)
