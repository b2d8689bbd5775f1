"""An instruct: the origin's order to hold a response, with channels, timeout and links.

An invalid instruct is a `GripError`: the client gets a 502, because its origin is at fault, and the
log has the sentence. The client's response has no GRIP header.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, NoReturn, TypeVar

from pushhub.grip.fields import GripError
from pushhub.log.channel import ChannelNameError, public_name
from pushhub.log.event import DraftError, check_label

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pushhub.http.raw_response import RawResponse

# Pushpin's: MINIMUM_RESPONSE_TIMEOUT, DEFAULT_RESPONSE_TIMEOUT and DEFAULT_NEXTLINK_TIMEOUT.
MIN_TIMEOUT = 5
DEFAULT_TIMEOUT = 55
DEFAULT_NEXT_TIMEOUT = 120
# A longer timeout is meant as endless, and the client has disconnected by then.
MAX_TIMEOUT = 3600
# As many as a poll of the API may name.
MAX_CHANNELS = 1000
# Pushpin's MESSAGEFILTERSTACK_SIZE_MAX.
MAX_FILTERS = 5
MAX_META = 64
MAX_META_BYTES = 1024
MAX_LINK_BYTES = 4096
# The largest body that a held response keeps in memory. Pushpin's.
MAX_HOLD_BODY_BYTES = 100_000
MAX_KEEP_ALIVE_BYTES = 4096


class HoldMode(StrEnum):
    """The two kinds of hold."""

    RESPONSE = "response"
    STREAM = "stream"


@dataclass(frozen=True, slots=True)
class GripSubscription:
    """A channel of a hold. `prev_id` is the id of the last item that the origin knows."""

    channel: str
    prev_id: str | None = None
    filters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """The content that is written to an idle stream every `timeout` seconds; with `interval` also
    to a busy one.
    """

    content: bytes
    timeout: int = DEFAULT_TIMEOUT
    interval: bool = False


@dataclass(frozen=True, slots=True)
class NextLink:
    """The link that continues a stream; with a hold, after `timeout` seconds without an item."""

    uri: str
    timeout: int = DEFAULT_NEXT_TIMEOUT


@dataclass(frozen=True, slots=True)
class Instruct:
    """A response, and how it is held and continued.

    Without a `mode` the response is not held; the response of a `next` link is appended to it.
    """

    response: RawResponse
    mode: HoldMode | None = None
    subscriptions: tuple[GripSubscription, ...] = ()
    timeout: int = DEFAULT_TIMEOUT
    keep_alive: KeepAlive | None = None
    meta: Mapping[str, str] = field(default_factory=dict)
    next: NextLink | None = None
    gone: str | None = None


def check(instruct: Instruct, min_timeout: int = MIN_TIMEOUT) -> Instruct:
    """Check every part of an instruct, and bound its timeouts."""
    # The last of two entries for one channel counts, as with Pushpin.
    subscriptions = {each.channel: each for each in instruct.subscriptions}
    if len(subscriptions) > MAX_CHANNELS:
        _refuse(f"A hold has at most {MAX_CHANNELS} channels.")
    for subscription in subscriptions.values():
        try:
            public_name(subscription.channel)
        except ChannelNameError as error:
            _refuse(f"The channel {subscription.channel[:100]!r}: {error}")
        try:
            # The origin receives it again, in a header.
            check_label(subscription.prev_id or "", "item's id")
        except DraftError as error:
            _refuse(str(error))
        if len(subscription.filters) > MAX_FILTERS:
            _refuse(f"A channel has at most {MAX_FILTERS} filters.")
    if len(instruct.meta) > MAX_META:
        _refuse(f"A connection has at most {MAX_META} values of meta.")
    if instruct.keep_alive and len(instruct.keep_alive.content) > MAX_KEEP_ALIVE_BYTES:
        _refuse(f"What keeps a stream alive has at most {MAX_KEEP_ALIVE_BYTES} bytes.")
    if instruct.mode is HoldMode.RESPONSE and len(instruct.response.body) > MAX_HOLD_BODY_BYTES:
        _refuse(f"A response that is held has a body of at most {MAX_HOLD_BODY_BYTES} bytes.")
    if (
        instruct.mode is HoldMode.STREAM
        and instruct.next is None
        and any(each.prev_id is not None for each in subscriptions.values())
    ):
        _refuse("A stream with a 'prev-id' needs a 'Grip-Link' with rel=next to repair a gap with.")
    return replace(
        instruct,
        subscriptions=tuple(subscriptions.values()),
        timeout=min(max(instruct.timeout, min_timeout), MAX_TIMEOUT),
        keep_alive=_bounded(instruct.keep_alive),
        next=_bounded(instruct.next),
    )


WithTimeout = TypeVar("WithTimeout", KeepAlive, NextLink)


def _bounded(part: WithTimeout | None) -> WithTimeout | None:
    """The same with a bounded timeout: less than a second would be a busy loop."""
    return part and replace(part, timeout=max(1, min(part.timeout, MAX_TIMEOUT)))


def check_meta(meta: dict[str, str]) -> dict[str, str]:
    """Check that every name and value of the meta is short enough to be kept during a hold."""
    if any(len(key) + len(value) > MAX_META_BYTES for key, value in meta.items()):
        _refuse(f"A value of meta has at most {MAX_META_BYTES} characters with its name.")
    return meta


def status_code(text: object, what: str) -> int:
    """A final status (RFC 9110 §15): 200 to 999."""
    if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) == 3:
        text = int(text)
    if isinstance(text, bool) or not isinstance(text, int) or not 200 <= text <= 999:
        _refuse(f"{what} is a status such as 304, from 200 to 999.")
    return text


def decode64(text: str, what: str) -> bytes:
    """Base64 (RFC 4648 §4), with or without its padding."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        _refuse(f"{what} is not base64.")


def _refuse(sentence: str) -> NoReturn:
    raise GripError(sentence)
