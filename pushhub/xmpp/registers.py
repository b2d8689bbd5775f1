"""Registers: values in the store under names of pushhub's own, with compare-and-set.

A register is a `$` channel kept at one event without age. Reading one goes the way of every poll,
through the hub: what somebody read lately is in memory, and stays right there, since the hub hears
of every change, of other nodes' too.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from pushhub.hub.hold import Hold
from pushhub.protocol.answer import Part
from pushhub.protocol.channel import MAX_NAME_BYTES
from pushhub.protocol.cursor import Cursor, Start
from pushhub.protocol.event import MAX_EVENT_BYTES, Draft
from pushhub.protocol.page import Gap, Page
from pushhub.protocol.poll import AT_ONCE, Hint, Positions, Want
from pushhub.store.base import (
    NO_VALUE,
    REGISTER,
    Append,
    Appended,
    Expect,
    Mismatch,
    StoreError,
    StoreUnavailable,
)
from pushhub.store.base import append as settle
from pushhub.xmpp.stalls import Stalls

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pushhub.hub.hub import Hub
    from pushhub.protocol.answer import Answer
    from pushhub.protocol.event import Event
    from pushhub.protocol.page import Read
    from pushhub.protocol.problem import Problem

# Everything of the XMPP server is under this name.
PREFIX = "$xmpp:"

# A change is tried again after a pause when another writer's came between. So many tries take
# about four seconds; more writers than that of one value are an attack.
MAX_TRIES = 50


def register_name(kind: str, *parts: str) -> str:
    """The name of a register, or another channel of our own: `$xmpp:roster:juliet@example.com`."""
    name = f"{PREFIX}{kind}:{' '.join(parts)}"
    if len(name.encode()) <= MAX_NAME_BYTES:
        return name
    # `#` is in no address's place, so that nobody can name an account after a digest.
    return f"{PREFIX}{kind}:#{hashlib.sha256(name.encode()).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Found(Part):
    """What a read of the hub gave: a page, or why there is none."""

    page: Page | None = None
    problem: Problem | None = None


class Look:
    """A poll that reads the last event of one channel, and never waits."""

    __slots__ = ("wants",)
    kind = "pushhub itself"
    wait = None
    variant = None

    def __init__(self, channel: str) -> None:
        self.wants = (Want(channel, Start.LAST, 1),)

    def answer(self, reads: Mapping[str, Read], hint: Hint = AT_ONCE) -> Found:
        read = reads[self.wants[0].channel]
        assert not isinstance(read, Gap), "the last event of a log is never a gap"
        return Found(b"", page=read)

    def position(self, channel: str, read: Read) -> Cursor:
        return read.cursor if isinstance(read, Page) else read.latest

    def nothing(self, at: Positions, hint: Hint) -> Found:
        return Found(b"", page=Page((), at[self.wants[0].channel], up_to_date=hint.sure))

    def refuse(self, problem: Problem) -> Found:
        return Found(b"", problem=problem)


class _Taker:
    """The driver of a look that memory could not answer."""

    __slots__ = ("future",)

    def __init__(self) -> None:
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def deliver(self, reply: object) -> None:
        if not self.future.done():
            self.future.set_result(reply)


class Registers:
    """The registers of one hub."""

    __slots__ = ("hub", "stalls")

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.stalls = Stalls(hub)

    def begin(self, name: str) -> Event | Hold | None:
        """The register's event, None if it has none; or a hold, if the store must be asked."""
        channel = self.hub.shelf.get(name)
        if channel is not None and channel.tail is not None:
            # What `Look` would read, in a tenth of the time: every message asks for block lists.
            events = channel.tail.events
            return events[-1] if events else None
        reply = self.hub.hold(Look(name))
        return reply if isinstance(reply, Hold) else _event(reply)

    async def event(self, name: str) -> Event | None:
        """The register's event, which has its cursor; None if it has none.

        Raises:
            StoreError: the store cannot be read now.
        """
        begun = self.begin(name)
        if not isinstance(begun, Hold):
            return begun
        taker = _Taker()
        begun.attach(taker)
        return _event(await taker.future)

    async def value(self, name: str) -> bytes | None:
        """The register's value; None if it has none."""
        event = await self.event(name)
        return event.data or None if event is not None else None

    async def json(self, name: str) -> Any:
        """The register's value as JSON; None if it has none."""
        data = await self.value(name)
        return None if data is None else orjson.loads(data)

    async def stored_json(self, name: str) -> Any:
        """`json`, of what the store has: the news of it may not have come here yet.

        Raises:
            StoreError: the store cannot be read now.
        """
        event = await self.stored(name)
        return orjson.loads(event.data) if event is not None and event.data else None

    async def change(self, name: str, make: Callable[[bytes | None], bytes | None]) -> bytes | None:
        """Replace the register's value by what `make` makes of it, and return the new one.

        `make` may be called several times, when somebody else's change comes between. It returns
        None to leave the value as it is, and b"" to empty it.

        Raises:
            StoreError: it could not be changed.
        """
        known = await self.event(name)
        for tries in range(1, MAX_TRIES + 1):
            made = make(known.data or None if known is not None else None)
            if made is None:
                return known.data or None if known is not None else None
            expect = NO_VALUE if known is None else Expect(frozenset({known.cursor}))
            match await self.set(name, made, expect):
                case Appended():
                    return made
                case Mismatch():
                    # Not from memory: the news of what came between may be on its way.
                    stored = await self.stored(name)
                    if tries > 1 and _same(stored, known):
                        # The store has what was expected, and says that it has not.
                        self.stalls.note("register", name=name, tries=tries)
                        raise StoreUnavailable("The value cannot be changed.")
                    known = stored
                    await self.stalls.pause(tries)
        self.stalls.note("register", name=name, tries=MAX_TRIES)
        raise StoreUnavailable("Too many change the same at once.")

    async def change_json(self, name: str, make: Callable[[Any], Any]) -> Any:
        """`change`, of a value that is JSON. What `make` is given is its own, to be changed."""

        def remade(data: bytes | None) -> bytes | None:
            made = make(None if data is None else orjson.loads(data))
            return None if made is None else orjson.dumps(made)

        data = await self.change(name, remade)
        return None if data is None else orjson.loads(data)

    async def set(
        self, name: str, data: bytes, expect: Expect | None = None
    ) -> Appended | Mismatch:
        """Write a register's value, if the condition holds.

        Raises:
            StoreError: it could not be written.
        """
        if len(data) > MAX_EVENT_BYTES:
            raise TooLarge(f"At most {MAX_EVENT_BYTES} bytes are kept in one place.")
        draft = Draft(data, "application/octet-stream")
        (outcome,) = await settle(self.hub.store, Append(name, draft, REGISTER, expect))
        if isinstance(outcome, StoreError):
            raise outcome
        assert isinstance(outcome, Appended | Mismatch)
        if isinstance(outcome, Appended):
            self._know(name, outcome.cursor)
        return outcome

    def _know(self, name: str, cursor: Cursor) -> None:
        """Whoever has written a register reads what he wrote: the news of it may be on its way."""
        shelf = self.hub.shelf
        channel = shelf.get(name)
        if channel is not None and not channel.ends_at(cursor):
            shelf.drop_tail(channel)

    async def delete(self, name: str) -> None:
        """Forget a register, or any channel of ours."""
        await self.hub.store.delete(name)

    async def stored(self, name: str) -> Event | None:
        """`event`, of what the store has; nothing of it is kept in memory.

        Raises:
            StoreError: the store cannot be read now.
        """
        read = await self.hub.store.read(name, Start.LAST, 1)
        assert isinstance(read, Page)
        return read.events[-1] if read.events else None


class TooLarge(StoreError):
    """What is to be written passes the store's bound."""


def _same(one: Event | None, other: Event | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.cursor == other.cursor


def _event(reply: Answer | Part) -> Event | None:
    assert isinstance(reply, Found)
    if reply.page is None:
        raise StoreUnavailable("The store cannot be read at the moment.")
    return reply.page.events[-1] if reply.page.events else None
