"""The stores that the contract suite runs against, a clock, and a listener that takes notes."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Protocol

import pytest

from pushhub.log.event import Draft
from pushhub.store.base import Append, Appended, Outcome, Retention, append
from pushhub.store.memory import MemoryStore
from pushhub.store.redis.store import RedisStore
from pushhub.store.sqlite.store import SqliteStore
from tests import redis_servers
from tests.redis_servers import rack, redis_shelf

__all__ = ["rack", "redis_shelf"]

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from pushhub.log.cursor import Cursor
    from pushhub.log.event import Event
    from pushhub.store.base import Store


DEFAULT = Retention()


class Clock:
    """Seconds since 1970 that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


# How often aged events and idle channels are looked for, where that is asked for.
SWEEP_SECONDS = 0.05
# How long news may take that crosses a network, on a machine that does much else.
NEWS_SECONDS = 15.0


class Recorder:
    """A listener: the events and the forgotten channels, in the order in which they were told."""

    def __init__(self) -> None:
        self.told: list[Event | str] = []
        self.hearing: list[bool] = []
        """What was told of the feed: True for restored, False for lost."""

    def wake(self, event: Event) -> None:
        self.told.append(event)

    def receipt(self, channel: str, cursor: Cursor | None) -> None:
        pass

    def forget(self, channel: str) -> None:
        self.told.append(channel)

    def lost(self) -> None:
        self.hearing.append(False)

    def restored(self) -> None:
        self.hearing.append(True)

    async def heard(self, store: Store, count: int) -> list[Event | str]:
        """The first `count` things told. A store that is certain has told them by now."""
        if not store.certain:
            await until(lambda: len(self.told) >= count)
        assert len(self.told) >= count
        return self.told[:count]


async def until(holds: Callable[[], object], seconds: float = NEWS_SECONDS) -> None:
    """Wait for what nobody announces."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.002)


class Lab(Protocol):
    """One kind of store. `make` gives another process's view of the same log."""

    keeps_epoch: bool

    def make(self, idle_age: float | None = None) -> Store: ...


class MemoryLab:
    keeps_epoch = False

    def __init__(self, folder: Path, clock: Clock, shelf: redis_servers.Shelf) -> None:
        self._clock = clock

    def make(self, idle_age: float | None = None) -> Store:
        return MemoryStore(self._clock, idle_age=idle_age)


class SqliteLab:
    keeps_epoch = True

    def __init__(self, folder: Path, clock: Clock, shelf: redis_servers.Shelf) -> None:
        self._path = folder / "log.db"
        self._clock = clock

    def make(self, idle_age: float | None = None) -> Store:
        if idle_age is None:
            return SqliteStore(str(self._path), self._clock)
        return SqliteStore(
            str(self._path), self._clock, sweep_seconds=SWEEP_SECONDS, idle_age=idle_age
        )


class RedisLab:
    keeps_epoch = True

    def __init__(
        self, folder: Path, clock: Clock, shelf: redis_servers.Shelf, kind: str = "valkey9"
    ) -> None:
        self._url = shelf.url(kind)
        self._clock = clock

    def make(self, idle_age: float | None = None) -> Store:
        return RedisStore(self._url, self._clock, idle_age=idle_age, walk_seconds=SWEEP_SECONDS)


LABS: dict[str, Callable[[Path, Clock, redis_servers.Shelf], Lab]] = {
    "memory": MemoryLab,
    "sqlite": SqliteLab,
    **{kind: partial(RedisLab, kind=kind) for kind in redis_servers.names()},
}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def listener() -> Recorder:
    return Recorder()


@pytest.fixture(params=LABS)
def lab(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    clock: Clock,
    redis_shelf: redis_servers.Shelf,
) -> Lab:
    return LABS[request.param](tmp_path, clock, redis_shelf)


@pytest.fixture
async def store(lab: Lab, listener: Recorder) -> AsyncIterator[Store]:
    async with opened(lab.make(), listener) as store:
        yield store


@asynccontextmanager
async def opened(store: Store, listener: Recorder | None = None) -> AsyncIterator[Store]:
    await store.open(listener or Recorder())
    try:
        yield store
    finally:
        await store.close()


def item(text: str = "1", channel: str = "a", retention: Retention = DEFAULT) -> Append:
    return Append(channel, Draft(text.encode()), retention)


async def publish(store: Store, *appends: Append) -> list[Appended]:
    """Append, and insist that all were."""
    return [insist(outcome) for outcome in await append(store, *appends)]


def insist(outcome: Outcome) -> Appended:
    assert isinstance(outcome, Appended), outcome
    return outcome
