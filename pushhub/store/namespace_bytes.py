"""The bytes that a namespace retains, as its limit counts them: the same in every store."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pushhub.log.event import Draft, Event

# What an event costs beside its content: about what Redis and SQLite need for an entry, its key
# and its index. Without it events of one byte would be free.
EVENT_OVERHEAD = 100

# How often a namespace looks for aged events that no append has removed: as often as the sweep of
# SQLite.
SWEEP_SECONDS = 30.0


def draft_bytes(draft: Draft) -> int:
    """The bytes that an event will count."""
    return _bytes(draft.data, draft.content_type, draft.type, draft.id)


def event_bytes(event: Event) -> int:
    """The bytes that an event counts. An id that the store assigned is free."""
    id = "" if event.id == str(event.cursor) else event.id
    return _bytes(event.data, event.content_type, event.type, id)


def _bytes(data: bytes, content_type: str, type: str, id: str) -> int:
    labels = len(content_type) + len(type.encode()) + len(id.encode())
    return EVENT_OVERHEAD + len(data) + labels


class NamespaceBytes:
    """The retained bytes of one namespace in this process."""

    __slots__ = ("retained", "swept")

    def __init__(self, retained: int, now: int) -> None:
        self.retained = retained
        self.swept = now
        """When aged events were last removed, in milliseconds since 1970."""

    def __repr__(self) -> str:
        return f"<NamespaceBytes {self.retained}>"


def exceeds(limit: int, retained: int, added: int, removed: int) -> bool:
    """Whether an append that adds and removes so many bytes is beyond the limit. A channel may
    replace an event by one that is not larger, even after the limit became smaller.
    """
    return added > removed and retained + added - removed > limit


def prefix(name: str) -> str:
    """The beginning of the channels of a namespace."""
    return name + ":"


def after_prefix(name: str) -> str:
    """The least text after all channels of a namespace."""
    return name + chr(ord(":") + 1)
