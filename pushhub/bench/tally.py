"""The counts of a generator, and the sum of several generators."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

# Buckets of latencies are 1 % wide.
_WIDTH = math.log(1.01)


class Latencies:
    """A distribution of times in nanoseconds, to 1 %, with the exact maximum."""

    __slots__ = ("buckets", "max")

    def __init__(self, buckets: dict[int, int] | None = None, max: int = 0) -> None:
        self.buckets = buckets or {}
        self.max = max

    @classmethod
    def of(cls, samples: array[int]) -> Latencies:
        """The distribution of samples."""
        log = math.log
        buckets = Counter(int(log(sample) / _WIDTH) if sample > 1 else 0 for sample in samples)
        return cls(dict(buckets), max(samples, default=0))

    def add(self, other: Latencies) -> None:
        """Add another distribution."""
        for bucket, count in other.buckets.items():
            self.buckets[bucket] = self.buckets.get(bucket, 0) + count
        self.max = max(self.max, other.max)

    def quantile(self, share: float) -> float:
        """The time, in milliseconds, that `share` of the samples do not exceed; NaN without any."""
        left = math.ceil(sum(self.buckets.values()) * share)
        for bucket in sorted(self.buckets):
            left -= self.buckets[bucket]
            if left <= 0:
                return min(math.exp((bucket + 1) * _WIDTH), self.max) / 1e6
        return math.nan

    def points(self) -> list[tuple[float, float]]:
        """The cumulative distribution: milliseconds, and the share of samples up to them."""
        total, seen, points = sum(self.buckets.values()), 0, []
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            points.append((math.exp((bucket + 1) * _WIDTH) / 1e6, seen / total))
        return points


@dataclass(slots=True)
class BenchReport:
    """The counts of all generators since the last reset."""

    received: int = 0
    """Events."""
    responses: int = 0
    """Responses of polls with events."""
    empty: int = 0
    """Responses of polls without events: the wait ended."""
    requests: int = 0
    """Requests sent."""
    lost: int = 0
    duplicated: int = 0
    gaps: int = 0
    """Gaps that the server reported (410)."""
    refused: int = 0
    """All other responses."""
    broken: int = 0
    """Connections that the server closed, or that could not be opened."""
    cpu: float = 0.0
    """CPU seconds of the generators' processes."""
    busiest: float = 0.0
    """The CPU share of the busiest generator, in bursts if there were any."""
    latencies: Latencies = field(default_factory=Latencies)

    def add(self, part: dict[str, Any]) -> None:
        """Add the report of one generator."""
        for name in (*_COUNTS, "cpu"):
            setattr(self, name, getattr(self, name) + part[name])
        self.busiest = max(self.busiest, part["busiest"])
        self.latencies.add(
            Latencies({int(b): count for b, count in part["buckets"].items()}, part["max"])
        )


_COUNTS = (
    *("received", "responses", "empty", "requests"),
    *("lost", "duplicated", "gaps", "refused", "broken"),
)


class Tally:
    """The counters of one generator, as plain attributes for its clients."""

    __slots__ = (*_COUNTS, "samples")

    def __init__(self) -> None:
        self.received = self.responses = self.empty = self.requests = 0
        self.lost = self.duplicated = self.gaps = self.refused = self.broken = 0
        self.samples: array[int] = array("q")

    def report(self) -> dict[str, Any]:
        """The counts as JSON."""
        latencies = Latencies.of(self.samples)
        return {
            **{name: getattr(self, name) for name in _COUNTS},
            "buckets": {str(bucket): count for bucket, count in latencies.buckets.items()},
            "max": latencies.max,
        }
