"""Fan-out: N holds, and an event for all of them, again and again; each hold polls on at once.

Also many channels with one hold each, and clients that ask for a page before every poll: what is
measured is the same.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from pushhub.bench.target import Figures, Load, Target, fresh_channels

if TYPE_CHECKING:
    from pushhub.bench.crew import Crew
    from pushhub.bench.publishing import BenchPublisher
    from pushhub.bench.tally import BenchReport

# The first rounds fill caches, and grow what grows once.
WARM_UP = 3
# Seconds for one event to reach all.
PATIENCE = 30.0


def fan_out(target: Target, load: Load, *, tokens: bool = False, pages: bool = False) -> Figures:
    """Publish to the holds, round after round. A round ends when all have polled again.

    With `tokens` every client has its own, as users have; with `pages` it asks for a page before
    every poll.
    """
    channels = fresh_channels(load)
    own, changes = target.own_tokens(load) if tokens else ([], {})
    empty = target.rss()
    with ExitStack() as stack:
        publisher = stack.enter_context(target.publisher(load))
        crew = stack.enter_context(target.crew(load, **changes))
        crew.open(channels, load.holds // len(channels), tokens=own, pages=pages)
        target.settle()
        parked = target.rss()
        crew.count()
        rounds(target, crew, publisher, channels, min(WARM_UP, load.publishes))
        crew.count()
        cpu = target.cpu()
        begun = time.monotonic()
        seconds = rounds(target, crew, publisher, channels, load.publishes, load)
        cpu, wall = target.cpu() - cpu, time.monotonic() - begun
        report = crew.report(publisher.published)
    return delivery_figures(report, cpu, seconds) | {
        "rss_per_hold_kib": (parked - empty) / load.holds,
        "server_share": cpu / wall,
    }


def rounds(
    target: Target,
    crew: Crew,
    publisher: BenchPublisher,
    channels: list[str],
    count: int,
    load: Load | None = None,
) -> float:
    """Publish `count` times to every channel: the seconds from publishing to the last receipt."""
    seconds = 0.0
    for number in range(1, count + 1):
        crew.expect(number)
        for channel in channels:
            publisher.publish(channel)
        _, took = crew.reached(PATIENCE)
        seconds += took
        target.settle()
        if load is not None:
            load.tick(number / count)
    return seconds


def delivery_figures(report: BenchReport, cpu: float, seconds: float) -> Figures:
    """What every scenario that delivers events reports."""
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
