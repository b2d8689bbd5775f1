"""What a process with many long-lived objects does about its memory.

A full collection looks at every object: 180 ms for 8,000 holds with tasks and scopes, 20 ms for as
many slotted ones. So what lives long is frozen out of its sight, and full collections are rare.
Reference counting frees a hold and a connection; the collector is there for mistakes.
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

# Allocations, and collections of the younger generation, before each generation is collected.
THRESHOLDS = (100_000, 50, 100)
# How often what is alive is taken to be long-lived. A ramp of holds takes about a minute.
FREEZE_SECONDS = 60.0

# How often the trimmer looks whether a crowd has left: holds or connections of which fewer than
# half remain. glibc keeps what they freed, about 1.8 KiB each, until malloc_trim(3) returns it.
TRIM_SECONDS = 5.0
CROWD = 1000

# mallopt(3): blocks from this size on come from the system and return to it when they are freed.
# It is glibc's own start value; unless it is set, the first large block that is freed raises it,
# and then what slow readers were written stays with the process: a megabyte each.
M_MMAP_THRESHOLD = -3
LARGE_BLOCK_BYTES = 128 * 1024


class Collector:
    """Freezes what is alive now and then, and measures what collections cost."""

    def __init__(self, hub: Hub, connections: Collection[object]) -> None:
        self._hub = hub
        self._begun = 0.0
        self._thresholds: tuple[int, int, int] | None = None
        self._trimmer = Trimmer(hub, connections)
        self.tick = OFF

    def start(self) -> None:
        """Begin, when everything that is made at the start is made."""
        gc.collect()
        gc.freeze()
        self._thresholds = gc.get_threshold()
        gc.set_threshold(*THRESHOLDS)
        gc.callbacks.append(self._watch)
        self._hub.wheel.set(self, self._hub.now() + FREEZE_SECONDS)
        self._trimmer.expire()

    def stop(self) -> None:
        """Leave the collector as it was found."""
        if self._watch in gc.callbacks:
            gc.callbacks.remove(self._watch)
        if self._thresholds is not None:
            gc.set_threshold(*self._thresholds)
            self._thresholds = None
        gc.unfreeze()

    def expire(self) -> None:
        """Freeze what has come since and lives. What is dropped later is freed all the same, but
        for cycles: those of now are collected first, since no later collection would see them.
        Only what has come since the last time is looked at.
        """
        gc.collect()
        gc.freeze()
        self._hub.wheel.set(self, self._hub.now() + FREEZE_SECONDS)

    def _watch(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._begun = time.perf_counter()
        else:
            self._hub.stats.gc_pauses.observe(time.perf_counter() - self._begun)


class Trimmer:
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
        # The next look trims again: a response is freed a moment after its hold has ended.
        if self._trim is not None and (left or self._left):
            self._trim(0)
        self._left = left
        hub.wheel.set(self, hub.now() + TRIM_SECONDS)


def _has_left(most: int, present: int) -> bool:
    """Whether a crowd has left: fewer than half of at least `CROWD` are present."""
    return most >= CROWD and present < most // 2
