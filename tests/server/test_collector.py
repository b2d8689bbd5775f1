"""The collector of cycles in a hub: rare, and nothing that lives long is looked at twice."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING

import pytest

from pushhub.hub.hub import Hub
from pushhub.server.collector import (
    CROWD,
    FREEZE_SECONDS,
    THRESHOLDS,
    CycleCollector,
    MemoryTrimmer,
)
from pushhub.store.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Node:
    """An object in a cycle with itself."""

    def __init__(self) -> None:
        self.me = self


def garbage() -> weakref.ref[Node]:
    """A cycle without a reference from outside."""
    return weakref.ref(Node())


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    hub = Hub(MemoryStore())
    await hub.open()
    yield hub
    await hub.close()


async def test_garbage_is_collected_before_live_objects_are_frozen(hub: Hub) -> None:
    """What is frozen as garbage stays for ever: no later collection looks at it."""
    collector = CycleCollector(hub, ())
    gc.disable()
    try:
        early = garbage()
        collector.start()
        assert early() is None
        late, lives = garbage(), Node()
        # A minute later, and again after the next one.
        for minute in (1, 2):
            due = hub.wheel.turn(hub.now() + minute * (FREEZE_SECONDS + 1))
            assert collector in due
            collector.expire()
        assert late() is None
        assert all(one is not lives for one in gc.get_objects())  # frozen
    finally:
        gc.enable()
        collector.stop()


async def test_the_collector_is_left_as_it_was_found(hub: Hub) -> None:
    before, callbacks = gc.get_threshold(), list(gc.callbacks)
    collector = CycleCollector(hub, ())
    collector.start()
    assert gc.get_threshold() == THRESHOLDS
    collector.stop()
    collector.stop()
    assert gc.get_threshold() == before
    assert gc.callbacks == callbacks
    assert gc.get_freeze_count() == 0


async def test_memory_is_trimmed_when_connections_leave_long_after_their_holds(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A publish ends all holds; the clients keep their connections for a while."""
    connections = set(range(CROWD))
    trimmer = MemoryTrimmer(hub, connections)
    trims: list[int] = []
    monkeypatch.setattr(trimmer, "_trim", trims.append)
    hub.most_parked = CROWD
    looks = []
    for look in range(8):
        if look == 4:
            connections.clear()
        trimmer.expire()
        looks.append(len(trims))
    # Twice after the holds, twice after the connections, and not again.
    assert looks == [1, 2, 2, 2, 3, 4, 4, 4]
