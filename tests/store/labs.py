"""The stores under the contract suite, a clock, and a listener that records."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

import pytest

from pushhub.log.event import Draft
from pushhub.store.base import Append, Appended, Outcome, Retention, append
from pushhub.store.memory import MemoryStore
from pushhub.store.redis.store import RedisStore
from pushhub.store.sqlite.store import SqliteStore
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from pathlib import Path

    from _pytest.mark.structures import ParameterSet

    from pushhub.log.cursor import Cursor
    from pushhub.log.event import Event
    from pushhub.store.base import Store

    Address = Callable[[str], str]


DEFAULT = Retention()
# The contract suite also runs against a foreign Redis at this URL, and empties its database.
URL = os.environ.get("PUSHHUB_TEST_REDIS_URL", "")
REDIS_KINDS = ("valkey9", "redis7", "redis62", *(["url"] if urlsplit(URL).scheme else []))
"""Kinds of Redis: the servers of tests/redis_servers.py, and the foreign one."""


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


class Lab(Protocol):
    """One kind of store. `make` gives another process's view of the same log."""

    keeps_epoch: bool

    def make(self, idle_age: float | None = None) -> Store: ...


class MemoryLab:
    keeps_epoch = False

    def __init__(self, folder: Path, clock: Clock, address: Address) -> None:
        self._clock = clock

    def make(self, idle_age: float | None = None) -> Store:
        return MemoryStore(self._clock, idle_age=idle_age)


class SqliteLab:
    keeps_epoch = True

    def __init__(self, folder: Path, clock: Clock, address: Address) -> None:
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

    def __init__(self, folder: Path, clock: Clock, address: Address, kind: str) -> None:
        self._url = address(kind)
        self._clock = clock

    def make(self, idle_age: float | None = None) -> Store:
        return RedisStore(self._url, self._clock, idle_age=idle_age, walk_seconds=SWEEP_SECONDS)


_LABS: dict[str, Callable[[Path, Clock, Address], Lab]] = {
    "memory": MemoryLab,
    "sqlite": SqliteLab,
    **{kind: partial(RedisLab, kind=kind) for kind in REDIS_KINDS},
}
LABS = tuple(_LABS)
FAST = ("memory", "sqlite")


def no_redis(kind: str) -> str:
    raise AssertionError(f"{kind} needs the fixture redis_shelf")


def make_lab(kind: str, folder: Path, clock: Clock, address: Address = no_redis) -> Lab:
    """A lab of one of LABS; `address` gives the URL of an empty database on a kind of Redis."""
    return _LABS[kind](folder, clock, address)


def lab_for(request: pytest.FixtureRequest, kind: str, folder: Path, clock: Clock) -> Lab:
    """A lab for a fixture; only a lab on Redis starts a server."""

    def address(kind: str) -> str:
        return str(request.getfixturevalue("redis_shelf").url(kind))

    return make_lab(kind, folder, clock, address)


def lab_params(kinds: Iterable[str] = LABS, fast: Iterable[str] = FAST) -> list[ParameterSet]:
    """Parameters for tests. Labs that are not in `fast` are slow; those on Redis have to be."""
    return [pytest.param(kind, marks=[] if kind in fast else [pytest.mark.slow]) for kind in kinds]


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
