"""A log in this process's memory, for tests and for embedding. It has a new epoch at every start.

Everything is synchronous: an append has settled when it returns. Retention is enforced when a
channel is appended to, read or listed, so a channel without appends and reads may hold aged events,
but no reader receives them.
"""

from __future__ import annotations

import time
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

from pushhub.log.channel import PRIVATE_MARK, namespace
from pushhub.log.cursor import Cursor, Since
from pushhub.log.event import Event
from pushhub.log.read import Gap, Page, Read
from pushhub.store.base import (
    IDEMPOTENCY_SECONDS,
    Append,
    Appended,
    ChannelInfo,
    KeyReused,
    Listener,
    Mismatch,
    NamespaceFull,
    Outcome,
    Retention,
    StoreUnavailable,
    is_spent,
)
from pushhub.store.epoch import draw_epoch, fingerprint
from pushhub.store.namespace_bytes import (
    SWEEP_SECONDS,
    NamespaceBytes,
    draft_bytes,
    event_bytes,
    exceeds,
    prefix,
)
from pushhub.store.read_range import ReadRange, raised

if TYPE_CHECKING:
    from collections.abc import Callable


# The number of least recently used channels that an append or a read checks for removal.
SWEEP_CHANNELS = 16


class _Channel:
    """One channel's kept events, and its last offset, which survives a delete."""

    __slots__ = ("bytes", "events", "name", "retention", "top", "used")

    def __init__(self, name: str, floor: int, bytes: NamespaceBytes | None = None) -> None:
        self.name = name
        self.bytes = bytes
        """The count of its namespace, if that has a limit."""
        self.events: deque[Event] = deque()
        self.retention = Retention()
        self.top = floor
        self.used = 0

    def trim(self, now: int) -> None:
        """Drop what retention no longer keeps at `now`, in milliseconds."""
        events, retention = self.events, self.retention
        while len(events) > retention.events:
            self._drop()
        if retention.age is not None:
            cutoff = now - retention.age * 1000
            while len(events) > 1 and events[0].time < cutoff:
                self._drop()
            if events and is_spent(self.name, retention, self.used, now):
                self.clear()

    def clear(self) -> None:
        """Drop all events."""
        if self.bytes is not None:
            self.bytes.retained -= sum(map(event_bytes, self.events))
        self.events.clear()

    def replaced_by_next(self, retention: Retention, now: int) -> int:
        """The bytes of the events that an append with this retention removes."""
        cutoff = None if retention.age is None else now - retention.age * 1000
        over, size = len(self.events) + 1 - retention.events, 0
        for event in self.events:
            if over <= 0 and (cutoff is None or event.time >= cutoff):
                break
            over -= 1
            size += event_bytes(event)
        return size

    def _drop(self) -> None:
        event = self.events.popleft()
        if self.bytes is not None:
            self.bytes.retained -= event_bytes(event)

    def span(self, epoch: str) -> ReadRange:
        return ReadRange(epoch, self.top - len(self.events) + 1, self.top)


class MemoryStore:
    """`memory://`. `clock` gives seconds since 1970; `idle_age` is after how many seconds without
    an append a channel is removed, None for never.
    """

    # Publishers and readers are in one process.
    certain = True

    def __init__(
        self, clock: Callable[[], float] = time.time, *, idle_age: float | None = None
    ) -> None:
        self._clock = clock
        self._idle_age = idle_age
        self._floor = 0
        self._listener: Listener | None = None
        self._epoch = ""
        # With an idle age in the order of their last appends, oldest first.
        self._channels: dict[str, _Channel] = {}
        # The namespaces with a limit: as many as the settings name.
        self._bytes: dict[str, NamespaceBytes] = {}
        # (channel, key) → when it was used, its event's fingerprint, the outcome of its append;
        # oldest first.
        self._keys: dict[tuple[str, str], tuple[int, bytes, Appended]] = {}

    async def open(self, listener: Listener) -> None:
        self._listener = listener
        self._epoch = draw_epoch()

    async def close(self) -> None:
        self._listener = None
        self._channels.clear()
        self._bytes.clear()
        self._keys.clear()

    @property
    def epoch(self) -> str:
        return self._epoch

    @property
    def ready(self) -> bool:
        return self._listener is not None

    def append(self, appends: list[Append], done: Callable[[list[Outcome]], None]) -> None:
        now = self._now()
        self._forget_keys(now)
        self._remove_idle(now)
        done([self._append(append, now) for append in appends])

    async def read(self, channel: str, since: Since, limit: int) -> Read:
        found = self._fresh(channel)
        span = found.span(self._epoch)
        after = span.locate(since)
        if isinstance(after, Gap):
            return after
        return span.page(after, islice(found.events, after + 1 - span.oldest, None), limit)

    async def tail(self, channel: str, limit: int) -> Page:
        found = self._fresh(channel)
        return found.span(self._epoch).tail(reversed(found.events), limit)

    async def count(self) -> int:
        return len(self._channels)

    async def retained(self, namespace: str) -> int:
        count = self._bytes.get(namespace) or self._begin_count(namespace, self._now())
        return count.retained

    async def time(self) -> float:
        return self._clock() * 1000

    async def delete(self, channel: str) -> bool:
        found = self._channels.get(channel)
        if found is None or not found.events or self._listener is None:
            return False
        found.clear()
        self._listener.forget(channel)
        return True

    def leave(self, channel: str) -> None:
        """Nothing to undo: the listener is woken for every channel."""

    async def channels(self, prefix: str, after: str, limit: int) -> list[ChannelInfo]:
        names = sorted(
            name
            for name, found in self._channels.items()
            if found.events
            and name > after
            and name.startswith(prefix)
            and not name.startswith(PRIVATE_MARK)
        )
        return [self._info(name) for name in names[:limit]]

    def _append(self, append: Append, now: int) -> Outcome:
        if self._listener is None:
            return StoreUnavailable("The store is closed.", "closed")
        name, draft = append.channel, append.draft
        if append.key and (used := self._keys.get((name, append.key))):
            _, content, first = used
            if content != fingerprint(draft):
                return KeyReused()
            return Appended(first.cursor, first.id, duplicate=True)
        found = self._channels.get(name)
        if found is not None and is_spent(name, found.retention, found.used, now):
            found.clear()
        if append.expect is not None:
            last = found.events[-1].cursor if found and found.events else None
            if not append.expect.holds(last):
                return Mismatch(last)
        if found is not None and found.retention.age != append.retention.age:
            # What has aged away does not come back with a longer age.
            found.trim(now)
        limit = append.retention.namespace_bytes
        if limit is not None and self._is_full(append, found, limit, now):
            return NamespaceFull(namespace(name), limit)
        created = found is None
        if found is None:
            found = self._channels[name] = _Channel(name, self._floor, self._count_of(name))
        elif self._idle_age is not None:
            self._channels[name] = self._channels.pop(name)
        found.top += 1
        found.used = now
        found.retention = append.retention
        event = Event(
            name,
            self._epoch,
            found.top,
            draft.data,
            draft.content_type,
            draft.type,
            draft.id,
            now,
            draft.traceparent,
        )
        found.events.append(event)
        if found.bytes is not None:
            found.bytes.retained += event_bytes(event)
        found.trim(now)
        appended = Appended(event.cursor, event.id, created=created)
        if append.key:
            self._keys[name, append.key] = (now, fingerprint(draft), appended)
        # Immediately: a listener that appends in turn must not be woken for the later event first.
        self._listener.wake(event)
        return appended

    def _is_full(self, append: Append, found: _Channel | None, limit: int, now: int) -> bool:
        """Whether the namespace has no room for the event."""
        name = namespace(append.channel)
        count = self._bytes.get(name) or self._begin_count(name, now)
        removed = 0 if found is None else found.replaced_by_next(append.retention, now)
        added = draft_bytes(append.draft)
        if not exceeds(limit, count.retained, added, removed):
            return False
        if count.swept <= now - SWEEP_SECONDS * 1000:
            count.swept = now
            for channel in self._of_namespace(name):
                channel.trim(now)
            removed = 0 if found is None else found.replaced_by_next(append.retention, now)
        return exceeds(limit, count.retained, added, removed)

    def _begin_count(self, name: str, now: int) -> NamespaceBytes:
        """Count what a namespace retains, at its first append with a limit."""
        count = self._bytes[name] = NamespaceBytes(0, now)
        for channel in self._of_namespace(name):
            channel.bytes = count
            count.retained += sum(map(event_bytes, channel.events))
        return count

    def _count_of(self, channel: str) -> NamespaceBytes | None:
        return self._bytes.get(namespace(channel)) if self._bytes else None

    def _of_namespace(self, name: str) -> list[_Channel]:
        start = prefix(name)
        return [found for key, found in self._channels.items() if key.startswith(start)]

    def _fresh(self, name: str) -> _Channel:
        """The channel as retention leaves it now; one that is not kept if there is none."""
        self._remove_idle(self._now())
        found = self._channels.get(name)
        if found is None:
            return _Channel(name, self._floor)
        found.trim(self._now())
        return found

    def _info(self, name: str) -> ChannelInfo:
        found = self._fresh(name)
        return ChannelInfo(name, len(found.events), Cursor(self._epoch, found.top))

    def _remove_idle(self, now: int) -> None:
        """Remove channels that nothing was published to for long; a few at a time. Those of
        pushhub's own stay while they have an event.
        """
        if self._idle_age is None:
            return
        for name, found in list(islice(self._channels.items(), SWEEP_CHANNELS)):
            if found.used >= now - self._idle_age * 1000:
                return
            del self._channels[name]
            if found.events and name.startswith(PRIVATE_MARK):
                self._channels[name] = found
                continue
            self._floor = raised(self._floor, found.top)
            if found.events and self._listener is not None:
                found.clear()
                self._listener.forget(name)

    def _forget_keys(self, now: int) -> None:
        while self._keys:
            first = next(iter(self._keys))
            if self._keys[first][0] >= now - IDEMPOTENCY_SECONDS * 1000:
                break
            del self._keys[first]

    def _now(self) -> int:
        return int(self._clock() * 1000)

    def __repr__(self) -> str:
        events = sum(len(found.events) for found in self._channels.values())
        return f"<MemoryStore {self._epoch} {len(self._channels)} channels {events} events>"
