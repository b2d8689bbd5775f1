"""Fan-out: N holds, and events for all of them; each client polls again immediately.

Variants have many channels with one hold each, or clients that request a page before every poll;
the figures are the same.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from pushhub.bench.target import Figures, Load, Target, fresh_channels

if TYPE_CHECKING:
    from pushhub.bench.generator_pool import GeneratorPool
    from pushhub.bench.publishing import BenchPublisher
    from pushhub.bench.tally import BenchReport

# The first rounds fill caches and buffers.
WARM_UP = 3
# The longest time for one event to reach all.
TIMEOUT_SECONDS = 30.0


def fan_out(target: Target, load: Load, *, tokens: bool = False, pages: bool = False) -> Figures:
    """Publish to the holds, round after round. A round ends when all have polled again.

    With `tokens` every client has its own, as users have; with `pages` it requests a page before
    every poll.
    """
    channels = fresh_channels(load)
    own, changes = target.own_tokens(load) if tokens else ([], {})
    empty = target.rss()
    with ExitStack() as stack:
        publisher = stack.enter_context(target.publisher(load))
        pool = stack.enter_context(target.generators(load, **changes))
        pool.open(channels, load.holds // len(channels), tokens=own, pages=pages)
        target.settle()
        parked = target.rss()
        pool.count()
        rounds(target, pool, publisher, channels, min(WARM_UP, load.publishes))
        pool.count()
        cpu = target.cpu()
        begun = time.monotonic()
        seconds = rounds(target, pool, publisher, channels, load.publishes, load)
        cpu, wall = target.cpu() - cpu, time.monotonic() - begun
        report = pool.report(publisher.published)
    return delivery_figures(report, cpu, seconds) | {
        "rss_per_hold_kib": (parked - empty) / load.holds,
        "server_share": cpu / wall,
    }


def rounds(
    target: Target,
    pool: GeneratorPool,
    publisher: BenchPublisher,
    channels: list[str],
    count: int,
    load: Load | None = None,
) -> float:
    """Publish `count` times to every channel; returns the seconds from publish to last delivery."""
    seconds = 0.0
    for number in range(1, count + 1):
        pool.expect(number)
        for channel in channels:
            publisher.publish(channel)
        _, took = pool.reached(TIMEOUT_SECONDS)
        seconds += took
        target.settle()
        if load is not None:
            load.tick(number / count)
    return seconds


def delivery_figures(report: BenchReport, cpu: float, seconds: float) -> Figures:
    """The figures of every scenario that delivers events."""
    received = max(1, report.received)
    return {
        "cpu_per_delivery_us": cpu / received * 1e6,
        "deliveries_per_s": report.received / seconds,
        "p50_ms": report.latencies.quantile(0.5),
        "p99_ms": report.latencies.quantile(0.99),
        "max_ms": report.latencies.max / 1e6,
        "received": report.received,
        "lost": report.lost,
        "duplicated": report.duplicated,
        "gaps": report.gaps,
        "empty": report.empty,
        "refused": report.refused,
        "broken": report.broken,
        "generator_share": report.busiest,
    }
