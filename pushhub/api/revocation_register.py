"""The register that brings revocations to every process.

The entries are values of the server's own channels `$revoked:0` to `$revoked:f`. A process reads
them before it is ready, and follows them like any reader. A writer unites its entry with the stored
ones, by compare-and-set. What a failover lost is written again by each process that knows it.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import structlog

from pushhub.auth.revocation import (
    SHARDS,
    Revocation,
)
from pushhub.hub.channel_hold import GrantedHold
from pushhub.hub.subscription import Subscription
from pushhub.log.cursor import Start
from pushhub.log.event import Draft
from pushhub.log.read import Page
from pushhub.store.base import (
    NO_VALUE,
    REGISTER,
    Append,
    Appended,
    Expect,
    StoreError,
    StoreUnavailable,
)
from pushhub.tasks import TaskSet

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.auth.revocation import Revocations
    from pushhub.hub.hub import Hub
    from pushhub.log.event import Event

log = structlog.get_logger(__name__)

# Writers that change one value at a time: more than an operator and a script.
MAX_TRIES = 50
# The pause after a lost race, or a failed write: longer with each try.
PAUSE_SECONDS = 0.01
# Credentials or holds between two turns of the loop: about a millisecond.
CHUNK = 2000
# Reads of the store take milliseconds, and holds end within a second of a revocation.
LATE_SECONDS = 0.5


def shard_channel(shard: int) -> str:
    """The channel of a shard."""
    return f"$revoked:{shard:x}"


class RevocationRegister:
    """The entries of the log in this process, and their effect on what is held here."""

    def __init__(self, hub: Hub, revocations: Revocations) -> None:
        self._hub = hub
        self.revocations = revocations
        self._subscriptions: list[Subscription] = []
        self._tasks = TaskSet()
        self._is_dirty = False
        self.listeners: list[Callable[[], None]] = []
        """Each is called after credentials were revoked, and ends what rests on them."""

    async def open(self) -> None:
        """Read all entries, and follow them.

        Raises:
            StoreError: the store cannot be read.
        """
        for shard in range(SHARDS):
            data, page = await self._stored(shard)
            self.revocations.take(shard, data)
            subscription = Subscription(
                self._hub,
                shard_channel(shard),
                partial(self._receive, shard),
                page.cursor,
                lost=partial(self._reload, shard),
                gone=partial(self._reload, shard),
            )
            self._subscriptions.append(subscription)
            subscription.start()
        await self.sweep()

    def close(self) -> None:
        """Follow them no more."""
        for subscription in self._subscriptions:
            subscription.stop()
        self._tasks.cancel()

    async def add(self, revocation: Revocation) -> None:
        """Write an entry. After this returns, nothing in this process rests on what it covers.

        Raises:
            StoreError: the entry is not written.
            RevocationsFull: there is no room for it.
        """
        await self._write(revocation.shard, revocation)
        await self.sweep()

    async def _write(self, shard: int, *new: Revocation) -> None:
        for tries in range(1, MAX_TRIES + 1):
            data, page = await self._stored(shard)
            value = self.revocations.value(shard, data, *new)
            expect = Expect(frozenset({page.events[-1].cursor})) if page.events else NO_VALUE
            append = Append(shard_channel(shard), Draft(value), REGISTER, expect)
            (outcome,) = await self._hub.recorded(append)
            if isinstance(outcome, StoreError):
                raise outcome
            if isinstance(outcome, Appended):
                self.revocations.take(shard, value)
                return
            await asyncio.sleep(PAUSE_SECONDS * tries)
        raise StoreUnavailable("Too many revocations are written at the same time.", "busy")

    async def _stored(self, shard: int) -> tuple[bytes, Page]:
        page = await self._hub.store.read(shard_channel(shard), Start.LAST, 1)
        assert isinstance(page, Page)
        return page.events[-1].data if page.events else b"{}", page

    # Following

    def _receive(self, shard: int, event: Event) -> None:
        if self.revocations.take(shard, event.data):
            self._reload(shard)
        if not self._is_dirty:
            self._is_dirty = True
            self._tasks.spawn(self.sweep())

    def _reload(self, shard: int) -> None:
        """The register may lack entries that are known here."""
        self._tasks.spawn(self._repair(shard))

    async def _repair(self, shard: int) -> None:
        for tries in range(1, MAX_TRIES + 1):
            try:
                data, _ = await self._stored(shard)
                if self.revocations.take(shard, data):
                    await self._write(shard)
                break
            except StoreError as error:
                self._hub.log.warning(log, "revocation.not_restored", error=str(error))
                await asyncio.sleep(PAUSE_SECONDS * 2 ** min(tries, 10))
        await self.sweep()

    async def sweep(self) -> None:
        """Mark the credentials in use that are revoked, and end what rests on them."""
        self._is_dirty = False
        is_new = False
        credentials = self.revocations.in_use()
        for start in range(0, len(credentials), CHUNK):
            for credential in credentials[start : start + CHUNK]:
                is_new |= self.revocations.mark(credential)
            if len(credentials) > CHUNK:
                await asyncio.sleep(0)
        if is_new:
            await self._end_holds()
            # A hold whose first read was under way parks now.
            self._tasks.spawn(self._end_late())
            for listener in self.listeners:
                listener()

    async def _end_late(self) -> None:
        await asyncio.sleep(LATE_SECONDS)
        await self._end_holds()

    async def _end_holds(self) -> None:
        now = self._hub.clock()
        entries = self._hub.wheel.entries()
        for start in range(0, len(entries), CHUNK):
            for entry in entries[start : start + CHUNK]:
                if isinstance(entry, GrantedHold) and entry.grant.has_ended(now):
                    entry.expire()
            if len(entries) > CHUNK:
                await asyncio.sleep(0)

    def __len__(self) -> int:
        return len(self.revocations)

    def __repr__(self) -> str:
        return f"<RevocationRegister {self.revocations!r}>"
