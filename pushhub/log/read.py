"""The result of reading a channel after a position: contiguous events, or a gap."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pushhub.log.cursor import Cursor
    from pushhub.log.event import Event

# One response. A phone parses a megabyte of JSON without a visible pause; a proxy buffers it.
MAX_RESPONSE_BYTES = 1024 * 1024
MAX_RESPONSE_EVENTS = 1000


class Reason(StrEnum):
    """The reason why events after a cursor may be lost."""

    EPOCH = "epoch"
    """The cursor is of another life of the log."""
    TRIMMED = "trimmed"
    """Retention, or a delete, removed events after the cursor."""
    AHEAD = "ahead"
    """The log ends before the cursor: its newest events were lost."""


@dataclass(frozen=True, slots=True)
class Page:
    """Contiguous events after a position.

    `cursor` is where the next read goes on, in the log's present epoch.
    """

    events: tuple[Event, ...]
    cursor: Cursor
    up_to_date: bool
    """Whether the log had nothing more after `cursor` when it was read."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A proven or possible loss, of which each reader is notified. A reader goes on at `oldest` or
    at `latest`.
    """

    reason: Reason
    oldest: Cursor
    latest: Cursor


Read = Page | Gap


def clip(events: Sequence[Event], limit: int) -> Sequence[Event]:
    """The longest start of `events` that fits one response, but at least one event.

    A response has `limit` events and about 1 MiB.
    """
    size = 0
    for count, event in enumerate(events):
        size += event.size
        if count == limit or (size > MAX_RESPONSE_BYTES and count):
            return events[:count]
    return events
