"""Steady: a channel of its own for every hold, and events at an even pace."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING

from pushhub.bench.scenarios.fan_out import delivery_figures

if TYPE_CHECKING:
    from pushhub.bench.publishing import BenchPublisher
    from pushhub.bench.target import Figures, Load, Target

# Events a second, over so many connections, of which each waits for one receipt at a time.
RATE = 2000
CONNECTIONS = 16
# The longest time from the last receipt to the last delivery.
LATEST_SECONDS = 2.0


def steady(target: Target, load: Load) -> Figures:
    """Publish at an even pace for some seconds, to one channel after the other.

    The figure `behind_ms` shows a publisher that is too slow: the delay of the last event of the
    slowest connection.
    """
    channels = [f"steady-{time.monotonic_ns()}-{number}" for number in range(load.holds)]
    each = int(RATE * load.seconds) // CONNECTIONS
    with ExitStack() as stack:
        publishers = [stack.enter_context(target.publisher(load)) for _ in range(CONNECTIONS)]
        pool = stack.enter_context(target.generators(load))
        pool.open(channels, 1)
        target.settle()
        pool.count()
        cpu, begun = target.cpu(), time.monotonic()

        def pace(number: int) -> float:
            own = channels[number::CONNECTIONS]
            return _pace(publishers[number], own, each, begun, load if number == 0 else None)

        with ThreadPoolExecutor(CONNECTIONS) as threads:
            behind = max(threads.map(pace, range(CONNECTIONS)))
        wall = time.monotonic() - begun
        time.sleep(LATEST_SECONDS)
        cpu = target.cpu() - cpu
        published = {
            channel: count
            for publisher in publishers
            for channel, count in publisher.published.items()
        }
        report = pool.report(published)
    return delivery_figures(report, cpu, wall) | {
        "behind_ms": behind * 1e3,
        "server_share": cpu / (wall + LATEST_SECONDS),
    }


def _pace(
    publisher: BenchPublisher, channels: list[str], count: int, begun: float, load: Load | None
) -> float:
    """Publish `count` events at this connection's share of the pace; returns the last delay."""
    late = 0.0
    for number in range(count):
        due = begun + number * CONNECTIONS / RATE
        late = time.monotonic() - due
        if late < 0:
            time.sleep(-late)
        publisher.publish(channels[number % len(channels)])
        if load is not None and number % 100 == 0:
            load.tick(number / count)
    return max(0.0, late)
