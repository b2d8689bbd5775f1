"""The register that brings revocations to every process.

The entries are values of the server's own channels `$revoked:0` to `$revoked:f`. A process reads
them before it is ready. A writer unites its entry with the stored ones, by compare-and-set. Then it
announces the changed value on the channel `$revoked:changes`, which each process follows like any
reader. What a failover lost is written again by each process that knows it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import orjson
import structlog

from pushhub.auth.revocation import SHARDS, Revocation, RevocationsFull
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
    Retention,
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
# The longest pause between two reads while the store cannot be read, as long as one fetch of keys.
MAX_PAUSE_SECONDS = 10.0
# Names the values that changed. A process follows this channel alone: sixteen subscriptions would
# wake an idle process sixteen times as often.
CHANGES = "$revoked:changes"
# The default retention of a channel. A process that lacks older changes reads all values.
CHANGES_RETENTION = Retention(events=1000, age=86_400)
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
        self._subscription: Subscription | None = None
        self._tasks = TaskSet()
        # The values that have changed since they were read.
        self._changed: set[int] = set()
        self._is_reading = False
        self.listeners: list[Callable[[], None]] = []
        """Each is called after grants have ended, and ends what rests on them."""

    async def open(self) -> None:
        """Read all entries, and follow them.

        Raises:
            StoreError: the store cannot be read.
        """
        # The position first: a change after it is announced, a change before it is read below.
        position = (await self._last(CHANGES)).cursor
        for shard in range(SHARDS):
            data, _ = await self._stored(shard)
            self.revocations.take(shard, data)
        self._subscription = Subscription(
            self._hub,
            CHANGES,
            self._receive,
            position,
            lost=self._reload_all,
            gone=self._reload_all,
        )
        self._subscription.start()
        await self.sweep()

    def close(self) -> None:
        """Stop following."""
        if self._subscription is not None:
            self._subscription.stop()
        self._tasks.cancel()

    async def add(self, revocation: Revocation) -> str:
        """Write an entry. After this returns, nothing in this process rests on what it covers.
        Returns the level that the entry has reached, where the store has levels.

        Raises:
            StoreError: the entry is not written, or the other processes are not notified.
            RevocationsFull: there is no room for it.
        """
        try:
            return await self._write(revocation.shard, revocation)
        finally:  # The entry may be written although its announcement is not.
            await self.sweep()

    async def _write(self, shard: int, *new: Revocation) -> str:
        for tries in range(1, MAX_TRIES + 1):
            data, page = await self._stored(shard)
            value = self.revocations.value(shard, data, *new)
            expect = Expect(frozenset({page.events[-1].cursor})) if page.events else NO_VALUE
            append = Append(shard_channel(shard), Draft(value), REGISTER, expect)
            # In one batch, so that no entry stays unannounced if this process ends. If the value is
            # not written, its announcement costs the other processes a read.
            change = Append(CHANGES, Draft(orjson.dumps(shard)), CHANGES_RETENTION)
            outcome, announced = await self._hub.recorded(append, change)
            if isinstance(outcome, StoreError):
                raise outcome
            if isinstance(outcome, Appended):
                self.revocations.take(shard, value)
                if isinstance(announced, StoreError):
                    raise announced
                return outcome.reached
            await asyncio.sleep(PAUSE_SECONDS * tries)
        raise StoreUnavailable("Too many revocations are written at the same time.", "busy")

    async def _stored(self, shard: int) -> tuple[bytes, Page]:
        page = await self._last(shard_channel(shard))
        return page.events[-1].data if page.events else b"{}", page

    async def _last(self, channel: str) -> Page:
        page = await self._hub.store.read(channel, Start.LAST, 1)
        assert isinstance(page, Page)
        return page

    # Following

    def _receive(self, event: Event) -> None:
        self._reload(orjson.loads(event.data))

    def _reload_all(self) -> None:
        """Changes were lost: the register may also lack entries that are known here."""
        self._reload(*range(SHARDS))

    def _reload(self, *shards: int) -> None:
        """Read values that have changed. Changes during a read lead to one further read of each
        value, however many there are."""
        self._changed.update(shards)
        if not self._is_reading:
            self._is_reading = True
            self._tasks.spawn(self._read_changed())

    async def _read_changed(self) -> None:
        failures = 0
        try:
            while self._changed:
                shard = self._changed.pop()
                try:
                    await self._read(shard)
                    failures = 0
                except StoreError as error:
                    self._hub.log.warning(log, "revocation.not_restored", error=str(error))
                    self._changed.add(shard)
                    await self.sweep()  # The values that were read already take effect.
                    failures = min(failures + 1, MAX_TRIES)
                    await asyncio.sleep(min(PAUSE_SECONDS * 2**failures, MAX_PAUSE_SECONDS))
        finally:
            self._is_reading = False
        await self.sweep()

    async def _read(self, shard: int) -> None:
        data, _ = await self._stored(shard)
        if self.revocations.take(shard, data):
            try:
                await self._write(shard)
            except RevocationsFull:
                self._hub.log.warning(log, "revocation.not_restored", error="no room")

    async def sweep(self) -> None:
        """Mark the credentials in use that are revoked, and end what rests on them."""
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
