"""An hour of the key figures of one process: a sample every ten seconds, in a ring of arrays.

So a console that opens shows the hour before. The ring has a fixed size (11 KiB), and a sample
costs some microseconds. Rates and quantiles are of the time between two samples.
"""

from __future__ import annotations

import math
from array import array
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SAMPLE_SECONDS = 10.0
SAMPLES = 360
# The figures of a point, in this order.
FIGURES = ("holds", "delivered", "published", "wake99", "memory", "loop99")
_UNKNOWN = math.nan


class KeyCounters(NamedTuple):
    """The state of a process at one moment: gauges, and counters since its start."""

    holds: int
    delivered: int
    published: int
    wake: tuple[int, ...]
    """The counts of a histogram, one for each bound and one beyond the last."""
    memory: int | None
    loop: tuple[int, ...]


class Hour:
    """The points of the last hour, oldest first. `now` is in seconds of one monotonic clock.

    Args:
        bounds: the upper bounds of the histograms, in seconds.
    """

    __slots__ = ("_at", "_bounds", "_last", "_last_at", "_next", "_values")

    def __init__(self, bounds: Sequence[float], samples: int = SAMPLES) -> None:
        self._bounds = tuple(bounds)
        self._at = array("d", [_UNKNOWN]) * samples
        self._values = tuple(array("f", [_UNKNOWN]) * samples for _ in FIGURES)
        self._next = 0
        self._last: KeyCounters | None = None
        self._last_at = 0.0

    def __len__(self) -> int:
        return min(self._next, len(self._at))

    def add(self, now: float, counters: KeyCounters) -> None:
        """Take a sample. The first one is no point: rates need two."""
        last, seconds = self._last, now - self._last_at
        if last is not None and seconds <= 0:
            return
        self._last, self._last_at = counters, now
        if last is None:
            return
        place = self._next % len(self._at)
        self._at[place] = now
        point = (
            counters.holds,
            max(0, counters.delivered - last.delivered) / seconds,
            max(0, counters.published - last.published) / seconds,
            self._p99(last.wake, counters.wake),
            counters.memory,
            self._p99(last.loop, counters.loop),
        )
        for values, value in zip(self._values, point, strict=True):
            values[place] = _UNKNOWN if value is None else value
        self._next += 1

    def latest(self, now: float) -> dict[str, float | None] | None:
        """The newest point: its age in seconds, and its figures."""
        if not self._next:
            return None
        place = (self._next - 1) % len(self._at)
        figures = zip(FIGURES, (_shown(values[place]) for values in self._values), strict=True)
        return {"ago": round(now - self._at[place], 1), **dict(figures)}

    def columns(self, now: float) -> dict[str, list[float | None]]:
        """All points: their ages in seconds, and a list of each figure."""
        places = self._places()
        found: dict[str, list[float | None]] = {
            "ago": [round(now - self._at[place], 1) for place in places]
        }
        for name, values in zip(FIGURES, self._values, strict=True):
            found[name] = [_shown(values[place]) for place in places]
        return found

    def _places(self) -> list[int]:
        size, number = len(self._at), len(self)
        return [place % size for place in range(self._next - number, self._next)]

    def _p99(self, older: Iterable[int], newer: Iterable[int]) -> float | None:
        counts = [max(0, new - old) for old, new in zip(older, newer, strict=True)]
        return quantile(0.99, counts, self._bounds)


def quantile(share: float, counts: Sequence[int], bounds: Sequence[float]) -> float | None:
    """The value below which this share of the observations is; None without any. As fine as the
    bounds, and the last bound for all beyond it.
    """
    rank, below, lower = share * sum(counts), 0, 0.0
    if not rank:
        return None
    for bound, count in zip(bounds, counts, strict=False):
        if count and below + count >= rank:
            return lower + (bound - lower) * (rank - below) / count
        below, lower = below + count, bound
    return lower


def _shown(value: float) -> float | None:
    """Four digits: a chart shows no more, and an hour is a third as long."""
    if math.isnan(value):
        return None
    short = float(f"{value:.4g}")
    return int(short) if short.is_integer() else short
