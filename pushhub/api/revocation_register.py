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
from pushhub.hub.release import LATE_SECONDS, end_by_grants
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
# Credentials between two turns of the loop: about a millisecond.
CHUNK = 2000


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
        """Each is called after grants have ended, and ends what rests on them."""

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

    async def add(self, revocation: Revocation) -> str:
        """Write an entry. After this returns, nothing in this process rests on what it covers.
        Returns the level that the entry has reached, where the store has levels.

        Raises:
            StoreError: the entry is not written.
            RevocationsFull: there is no room for it.
        """
        reached = await self._write(revocation.shard, revocation)
        await self.sweep()
        return reached

    async def _write(self, shard: int, *new: Revocation) -> str:
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
                return outcome.reached
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
            await self._end_by_grants()

    def end_by_grants(self) -> None:
        """Grants have ended by a reload: begin to end the holds, streams and sessions."""
        self._tasks.spawn(self._end_by_grants())

    async def _end_by_grants(self) -> None:
        for listener in self.listeners:
            listener()
        await end_by_grants(self._hub)
        # A hold whose first read was under way parks now.
        self._tasks.spawn(self._end_late())

    async def _end_late(self) -> None:
        await asyncio.sleep(LATE_SECONDS)
        await end_by_grants(self._hub)

    def __len__(self) -> int:
        return len(self.revocations)

    def __repr__(self) -> str:
        return f"<RevocationRegister {self.revocations!r}>"
