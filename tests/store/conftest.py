"""The stores that the contract suite runs against, a clock, and a listener that takes notes."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

import pytest

from pushhub.protocol.event import Draft
from pushhub.store.base import Append, Appended, Outcome, Retention, append
from pushhub.store.memory import MemoryStore
from pushhub.store.sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from pushhub.protocol.event import Event
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


class Recorder:
    """A listener: the events and the forgotten channels, in the order in which they were told."""

    def __init__(self) -> None:
        self.told: list[Event | str] = []

    def wake(self, event: Event) -> None:
        self.told.append(event)

    def forget(self, channel: str) -> None:
        self.told.append(channel)


class Lab(Protocol):
    """One kind of store. `make` gives another process's view of the same log."""

    keeps_epoch: bool

    def make(self) -> Store: ...


class MemoryLab:
    keeps_epoch = False

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._clock = clock

    def make(self) -> Store:
        return MemoryStore(self._clock)


class SqliteLab:
    keeps_epoch = True

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._path = folder / "log.db"
        self._clock = clock

    def make(self) -> Store:
        return SqliteStore(str(self._path), self._clock)


LABS: dict[str, type[MemoryLab] | type[SqliteLab]] = {"memory": MemoryLab, "sqlite": SqliteLab}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def listener() -> Recorder:
    return Recorder()


@pytest.fixture(params=LABS)
def lab(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Lab:
    return LABS[request.param](tmp_path, clock)


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
