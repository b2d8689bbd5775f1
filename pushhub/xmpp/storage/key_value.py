"""A key-value store with compare-and-set, under channel names that only pushhub uses.

Each key is a `$` channel with a retention of one event and no age. A read takes the way of every
poll, through the hub: the hub keeps recently read values in memory, and they stay current, since
the hub receives every change, also those of other nodes.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from pushhub.http.response import Part
from pushhub.hub.hold import Hold
from pushhub.log.channel import MAX_NAME_BYTES
from pushhub.log.cursor import Cursor, Start
from pushhub.log.event import MAX_EVENT_BYTES, Draft
from pushhub.log.read import Gap, Page
from pushhub.polls.base import NO_HINT, ChannelPoll, ChannelRead, Hint, Positions
from pushhub.store.base import (
    NO_VALUE,
    REGISTER,
    Append,
    Appended,
    Expect,
    Mismatch,
    NamespaceFull,
    StoreError,
    StoreUnavailable,
)
from pushhub.xmpp.model.stanza import StanzaError
from pushhub.xmpp.storage.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pushhub.http.problem import Problem
    from pushhub.http.response import Response
    from pushhub.hub.hub import Hub
    from pushhub.log.event import Event
    from pushhub.log.read import Read

# All channels of the XMPP server have this prefix.
PREFIX = "$xmpp:"

# An update pauses and tries again when another writer's update came first. So many tries take about
# four seconds; more writers of one value than that are an attack.
MAX_TRIES = 50


def internal_name(kind: str, *parts: str) -> str:
    """The name of a key, or of another internal channel: `$xmpp:roster:juliet@example.com`."""
    name = f"{PREFIX}{kind}:{' '.join(parts)}"
    if len(name.encode()) <= MAX_NAME_BYTES:
        return name
    # No address begins with `#`, so no account can have the name of a digest.
    return f"{PREFIX}{kind}:#{hashlib.sha256(name.encode()).hexdigest()}"


@dataclass(frozen=True, slots=True)
class StoredValue(Part):
    """The result of a read through the hub: a page, or the problem."""

    page: Page | None = None
    problem: Problem | None = None


class ValueRead(ChannelPoll):
    """A poll that reads the last event of one channel, and never waits."""

    __slots__ = ()
    kind = "pushhub itself"
    wait = None
    variant = None

    def __init__(self, channel: str) -> None:
        self.reads = (ChannelRead(channel, Start.LAST, 1),)

    def reply(self, reads: Mapping[str, Read], hint: Hint = NO_HINT) -> StoredValue:
        read = reads[self.reads[0].channel]
        assert not isinstance(read, Gap), "the last event of a log is never a gap"
        return StoredValue(b"", page=read)

    def empty(self, at: Positions, hint: Hint) -> StoredValue:
        return StoredValue(b"", page=Page((), at[self.reads[0].channel], up_to_date=hint.sure))

    def error(self, problem: Problem) -> StoredValue:
        return StoredValue(b"", problem=problem)


class _ValueWaiter:
    """The driver of a hold: it completes a future with the value."""

    __slots__ = ("future",)

    def __init__(self) -> None:
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def deliver(self, reply: object) -> None:
        if not self.future.done():
            self.future.set_result(reply)


class KeyValueStore:
    """The key-value pairs of one hub."""

    __slots__ = ("backoff", "hub")

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.backoff = Backoff(hub)

    def start_read(self, key: str) -> Event | Hold | None:
        """The key's event, None without a value; a hold, if the hub must read the store."""
        channel = self.hub.channels.get(key)
        if channel is not None and channel.tail is not None:
            # The same as `ValueRead` reads, in a tenth of the time: every message needs block
            # lists.
            events = channel.tail.events
            return events[-1] if events else None
        reply = self.hub.hold(ValueRead(key))
        return reply if isinstance(reply, Hold) else value_event(reply)

    async def event(self, key: str) -> Event | None:
        """The key's event, which has its cursor; None without a value.

        Raises:
            StoreError: the store cannot be read.
        """
        started = self.start_read(key)
        if not isinstance(started, Hold):
            return started
        waiter = _ValueWaiter()
        started.attach(waiter)
        return value_event(await waiter.future)

    async def value(self, key: str) -> bytes | None:
        """The key's value; None without one."""
        event = await self.event(key)
        return event.data or None if event is not None else None

    async def json(self, key: str) -> Any:
        """The key's value as JSON; None without one."""
        return event_json(await self.event(key))

    async def stored_json(self, key: str) -> Any:
        """`json`, read from the store: its latest event may not have reached the hub yet.

        Raises:
            StoreError: the store cannot be read.
        """
        return event_json(await self.stored(key))

    async def update(self, key: str, make: Callable[[bytes | None], bytes | None]) -> bytes | None:
        """Replace the key's value by the result of `make`, and return the new value.

        `make` may be called several times, when another writer's update comes first. It returns
        None to keep the value, and b"" to clear it.

        Raises:
            StoreError: the update failed.
        """
        known = await self.event(key)
        for tries in range(1, MAX_TRIES + 1):
            made = make(known.data or None if known is not None else None)
            if made is None:
                return known.data or None if known is not None else None
            expect = NO_VALUE if known is None else Expect(frozenset({known.cursor}))
            match await self.set(key, made, expect):
                case Appended():
                    return made
                case Mismatch():
                    # Not from memory: the other writer's event may not have reached the hub yet.
                    stored = await self.stored(key)
                    if tries > 1 and _same(stored, known):
                        # The store reports a mismatch, though it has the expected value.
                        self.backoff.give_up("register", name=key, tries=tries)
                        raise StoreUnavailable("The value cannot be changed.")
                    known = stored
                    await self.backoff.pause(tries)
        self.backoff.give_up("register", name=key, tries=MAX_TRIES)
        raise StoreUnavailable("Too many concurrent changes of the same value.")

    async def update_json(self, key: str, make: Callable[[Any], Any]) -> Any:
        """`update`, of a JSON value. `make` owns its argument and may change it."""

        def remade(data: bytes | None) -> bytes | None:
            made = make(None if data is None else orjson.loads(data))
            return None if made is None else orjson.dumps(made)

        data = await self.update(key, remade)
        return None if data is None else orjson.loads(data)

    async def set(self, key: str, data: bytes, expect: Expect | None = None) -> Appended | Mismatch:
        """Write a value, if the condition holds.

        Raises:
            StoreError: the write failed.
        """
        if len(data) > MAX_EVENT_BYTES:
            raise ValueTooLarge(f"A value has at most {MAX_EVENT_BYTES} bytes.")
        draft = Draft(data, "application/octet-stream")
        (outcome,) = await self.hub.recorded(Append(key, draft, REGISTER, expect))
        if isinstance(outcome, StoreError):
            raise outcome
        assert isinstance(outcome, Appended | Mismatch)
        if isinstance(outcome, Appended):
            self._drop_stale(key, outcome.cursor)
        return outcome

    def _drop_stale(self, key: str, cursor: Cursor) -> None:
        """A writer reads its own write: the event may not have reached the hub's memory yet."""
        channels = self.hub.channels
        channel = channels.get(key)
        if channel is not None and not channel.ends_at(cursor):
            channels.drop_tail(channel)

    async def delete(self, name: str) -> None:
        """Delete a key, or any internal channel."""
        await self.hub.store.delete(name)

    async def stored(self, key: str) -> Event | None:
        """`event`, read from the store; the hub keeps nothing of it in memory.

        Raises:
            StoreError: the store cannot be read.
        """
        read = await self.hub.store.read(key, Start.LAST, 1)
        assert isinstance(read, Page)
        return read.events[-1] if read.events else None


class ValueTooLarge(StoreError):
    """The value exceeds the store's limit."""


def store_failure(error: StoreError) -> StanzaError:
    """The response to a stanza whose data cannot be read or written."""
    if isinstance(error, ValueTooLarge):
        return StanzaError("resource-constraint", str(error), type="cancel")
    if isinstance(error, NamespaceFull):
        return StanzaError("resource-constraint", error.public, type="wait")
    return StanzaError("internal-server-error", error.public, type="wait")


def _same(one: Event | None, other: Event | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.cursor == other.cursor


def event_json(event: Event | None) -> Any:
    """The value of a key's event as JSON; None without one."""
    return orjson.loads(event.data) if event is not None and event.data else None


def value_event(reply: Response | Part) -> Event | None:
    """The event in the reply to a read of a key; None without a value.

    Raises:
        StoreError: the store cannot be read.
    """
    assert isinstance(reply, StoredValue)
    if reply.page is None:
        raise StoreUnavailable("The store cannot be read at the moment.")
    return reply.page.events[-1] if reply.page.events else None
