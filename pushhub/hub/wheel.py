"""One timing wheel for every deadline of the process.

Thirty thousand holds with a timer each are thirty thousand heap entries that almost all get
cancelled. Here a deadline is a place in a bucket: setting and clearing it are one dict operation
each, and one timer turns the wheel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

# Deadlines are seconds; waits are shortened at random by up to a fifth anyway, so a tenth of a
# second late is on time.
TICK_SECONDS = 0.1

# The `tick` of an entry that is not on the wheel.
OFF = 0


class Entry(Protocol):
    """Something with a deadline. `tick` is the wheel's own; it starts as `OFF`."""

    tick: int

    def expire(self) -> None:
        """The deadline has passed; the entry is off the wheel."""


class Wheel:
    """Entries by deadline. `now` and deadlines are seconds of one monotonic clock."""

    __slots__ = ("_buckets", "_turned")

    def __init__(self, now: float) -> None:
        # Entries of one tick expire in the order in which they came: with a set that order would be
        # another in each process, and a simulation could not be repeated.
        self._buckets: dict[int, dict[Entry, None]] = {}
        self._turned = int(now / TICK_SECONDS)

    def set(self, entry: Entry, deadline: float) -> None:
        """Give `entry` a deadline, in place of the one it may have. It expires then, or up to a
        tick later.
        """
        tick = int(deadline / TICK_SECONDS) + 1
        if tick <= self._turned:
            tick = self._turned + 1
        if entry.tick:
            if entry.tick == tick:
                return
            self.clear(entry)
        entry.tick = tick
        bucket = self._buckets.get(tick)
        if bucket is None:
            self._buckets[tick] = {entry: None}
        else:
            bucket[entry] = None

    def clear(self, entry: Entry) -> None:
        """Take `entry` off the wheel, if it is on."""
        if entry.tick:
            bucket = self._buckets[entry.tick]
            del bucket[entry]
            if not bucket:
                # An emptied dict would keep the room that its entries took, for up to a minute.
                del self._buckets[entry.tick]
            entry.tick = OFF

    def turn(self, now: float) -> list[Entry]:
        """Take off the wheel what is due, and return it."""
        tick = int(now / TICK_SECONDS)
        due: list[Entry] = []
        passed: Iterable[int] = range(self._turned + 1, tick + 1)
        if tick - self._turned > len(self._buckets):
            # A machine that slept for a week has passed six million ticks, nearly all empty.
            passed = sorted(found for found in self._buckets if found <= tick)
        for number in passed:
            bucket = self._buckets.pop(number, None)
            if bucket:
                due.extend(bucket)
        self._turned = max(self._turned, tick)
        for entry in due:
            entry.tick = OFF
        return due

    def next(self) -> float | None:
        """When the next entry is due, in seconds of the clock; None if there is none."""
        return min(self._buckets) * TICK_SECONDS if self._buckets else None

    def entries(self) -> list[Entry]:
        """All that have a deadline."""
        return [entry for bucket in self._buckets.values() for entry in bucket]

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))

    def __repr__(self) -> str:
        return f"<Wheel {len(self)} deadlines in {len(self._buckets)} buckets>"
