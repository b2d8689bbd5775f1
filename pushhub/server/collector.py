"""Memory of a process with many long-lived objects: rare collections of cycles, and trimming.

A full collection visits every object: 180 ms for 8,000 holds with tasks and scopes, 20 ms for as
many slotted ones. So long-lived objects are frozen, which excludes them from collections, and full
collections are rare. Reference counting frees holds and connections; only bugs need the collector.
"""

from __future__ import annotations

import ctypes
import gc
import time
from typing import TYPE_CHECKING

from pushhub.hub.wheel import OFF

if TYPE_CHECKING:
    from collections.abc import Collection

    from pushhub.hub.hub import Hub

# The allocations before a collection of the youngest generation, and the collections of a
# generation before one of the next older.
THRESHOLDS = (100_000, 50, 100)
# The interval after which live objects count as long-lived. A ramp of holds takes about a minute.
FREEZE_SECONDS = 60.0

# How often the trimmer checks whether a crowd has left: at least so many holds or connections, of
# which fewer than half remain. glibc keeps their memory, about 1.8 KiB each, until malloc_trim(3).
TRIM_SECONDS = 5.0
CROWD = 1000

# mallopt(3): blocks from this size on come from the system and return to it when they are freed.
# This is glibc's own initial value. Unless it is set, the first freed large block raises it, and
# then the process keeps the memory of responses to slow readers: a megabyte each.
M_MMAP_THRESHOLD = -3
LARGE_BLOCK_BYTES = 128 * 1024


class CycleCollector:
    """Freezes live objects at intervals, and measures the pauses of collections."""

    def __init__(self, hub: Hub, connections: Collection[object]) -> None:
        self._hub = hub
        self._begun = 0.0
        self._thresholds: tuple[int, int, int] | None = None
        self._trimmer = MemoryTrimmer(hub, connections)
        self.tick = OFF

    def start(self) -> None:
        """Start, after all objects of the start exist."""
        gc.collect()
        gc.freeze()
        self._thresholds = gc.get_threshold()
        gc.set_threshold(*THRESHOLDS)
        gc.callbacks.append(self._measure)
        self._hub.wheel.set(self, self._hub.now() + FREEZE_SECONDS)
        self._trimmer.expire()

    def stop(self) -> None:
        """Restore the collector's thresholds, callbacks and generations."""
        if self._measure in gc.callbacks:
            gc.callbacks.remove(self._measure)
        if self._thresholds is not None:
            gc.set_threshold(*self._thresholds)
            self._thresholds = None
        gc.unfreeze()

    def expire(self) -> None:
        """Freeze the live objects that have come since the last time. Reference counting frees a
        frozen object as well, but no later collection sees its cycles, so present cycles are
        collected first. The collection visits only objects that are not frozen.
        """
        gc.collect()
        gc.freeze()
        self._hub.wheel.set(self, self._hub.now() + FREEZE_SECONDS)

    def _measure(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._begun = time.perf_counter()
        else:
            self._hub.stats.gc_pauses.observe(time.perf_counter() - self._begun)


class MemoryTrimmer:
    """Returns memory to the system: large blocks immediately, the rest after a crowd of holds or of
    connections has left (with glibc).

    The two leave at different times: a publish ends all holds, and their connections stay until the
    clients or `keep_alive_seconds` close them.
    """

    def __init__(self, hub: Hub, connections: Collection[object]) -> None:
        self._hub = hub
        self._connections = connections
        self._most_connections = 0
        libc = ctypes.CDLL(None)
        self._trim = getattr(libc, "malloc_trim", None)
        if self._trim is not None:
            libc.mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES)
        self._left = False
        self.tick = OFF

    def expire(self) -> None:
        """Compare the most holds and connections with those of now."""
        hub = self._hub
        connected = len(self._connections)
        self._most_connections = max(self._most_connections, connected)
        left = False
        if _has_left(hub.most_parked, hub.parked):
            hub.most_parked, left = hub.parked, True
        if _has_left(self._most_connections, connected):
            self._most_connections, left = connected, True
        # The next check trims again: a response is freed a moment after its hold has ended.
        if self._trim is not None and (left or self._left):
            self._trim(0)
        self._left = left
        hub.wheel.set(self, hub.now() + TRIM_SECONDS)


def _has_left(most: int, present: int) -> bool:
    """Whether a crowd has left: fewer than half of at least `CROWD` are present."""
    return most >= CROWD and present < most // 2
