"""The budget of fetches at one origin, and the share of each node.

All nodes together send an origin at most `max(fetch_rate, waiters / replaces)` paced fetches a
second: a small site gets news within the interval of its routes, and a crowd, each with a resource
of its own, costs no more than the polling that it replaced. If more is due, the interval of all
resources becomes at least the one with which the budget suffices. Resources with a longer interval
are not stretched further.

No I/O, no clock, no randomness.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Intervals are counted, and stretched, in steps of 2^(1/8), or 9 %. Nodes that know slightly
# different demands then still stretch to the same interval, and name the same turn of a fetch.
STEPS = 8
# The steps of the shortest interval (0.05 s) and of the longest one (a day).
_FIRST, _LAST = math.floor(STEPS * math.log2(0.05)), math.ceil(STEPS * math.log2(86_400))
# Rounding errors must not turn 1.0 into the step below.
_EPSILON = 1e-9
# The range of the numbers in a sample.
_HASHES = 2**32


def step_of(pause: float) -> int:
    """The step of an interval, rounded down."""
    return bounded(math.floor(STEPS * math.log2(pause) + _EPSILON))


def bounded(step: int) -> int:
    """The nearest step of an interval that a route may have."""
    return min(max(step, _FIRST), _LAST)


def seconds_of(step: int) -> float:
    """The interval of a step."""
    return math.exp2(step / STEPS)


class Demand(NamedTuple):
    """The waiting requests and the due resources of one node at one origin."""

    waiters: int
    """Requests that wait."""
    resources: tuple[tuple[int, int], ...]
    """The number of resources with waiting requests, by the step of their interval."""
    sample: tuple[int, ...]
    """The smallest hashes of these resources. Nodes whose samples have hashes in common share
    resources (k minimum values).
    """

    @property
    def size(self) -> int:
        """The number of resources."""
        return sum(number for _, number in self.resources)

    def rate(self, interval: float = 0.0) -> float:
        """The fetches a second that are due, at intervals of at least so many seconds."""
        return sum(number / max(seconds_of(step), interval) for step, number in self.resources)


NOTHING = Demand(0, (), ())


class Budget(NamedTuple):
    """The budget of an origin, and the interval with which it suffices."""

    rate: float
    """The most fetches a second, of all nodes together."""
    due: float
    """The fetches a second that are due by the intervals of the routes."""
    interval: float
    """The shortest interval of all resources; 0 while the pace is not stretched."""
    waiters: int
    once: float = 1.0
    """The number of different resources, as a part of the sum of all nodes' resources."""

    def share(self, own: Demand, demands: Iterable[Demand], *, claims: bool = False) -> float:
        """The part of the budget of a node with the demand `own`, one of `demands`. The shares of
        all nodes with the same `demands` add up to the budget.

        With `claims`, one node alone does each fetch of a resource that several nodes wait on, so
        each of them may try.
        """
        mine = own.rate(self.interval)
        if not mine:
            return 0.0
        share = self.rate * mine / sum(demand.rate(self.interval) for demand in demands)
        return min(self.rate, share / self.once) if claims else share


def budget_of(demands: Sequence[Demand], fetch_rate: float, replaces: float) -> Budget:
    """The budget of an origin with these demands, one for each node.

    Args:
        fetch_rate: the fetches a second that are always allowed.
        replaces: the interval, in seconds, at which each waiting client would poll.
    """
    waiters = sum(demand.waiters for demand in demands)
    rate = max(fetch_rate, waiters / replaces)
    count = sum(demand.size for demand in demands)
    # Of several nodes that wait on one resource, one fetches in each interval.
    once = max(distinct(demands), 1.0) / count if count else 1.0

    def due(interval: float = 0.0) -> float:
        return once * sum(demand.rate(interval) for demand in demands)

    if due() <= rate:
        return Budget(rate, due(), 0.0, waiters, once)
    low, high = _FIRST, max(_LAST, math.ceil(STEPS * math.log2(count / rate)) + 1)
    while low < high:
        middle = (low + high) // 2
        if due(seconds_of(middle)) <= rate:
            high = middle
        else:
            low = middle + 1
    return Budget(rate, due(), seconds_of(low), waiters, once)


def distinct(demands: Sequence[Demand]) -> float:
    """The number of different resources of all nodes, estimated from their samples; exact while
    the samples are complete.
    """
    counts = [demand.size for demand in demands]
    total = sum(counts)
    if len(demands) < 2:
        return total
    hashes = {hash for demand in demands for hash in demand.sample}
    partial = [
        demand.sample
        for demand, count in zip(demands, counts, strict=True)
        if len(demand.sample) < count
    ]
    if not partial:
        return len(hashes)
    # Every sample is complete up to the least of their greatest hashes.
    end = min(max(sample, default=0) for sample in partial)
    known = sum(hash <= end for hash in hashes)
    estimate = (known - 1) * _HASHES / max(end, 1)
    return min(max(estimate, *counts), total)
