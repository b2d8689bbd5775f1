"""Polling beside long-polling: the same clients and the same events, once with a poll every five
seconds, and once with polls that wait.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pushhub.bench.target import fresh_channels

if TYPE_CHECKING:
    from pushhub.bench.target import Figures, Load, Target

# An event every so many seconds: rarer than polls, as nearly everything is that is polled for, and
# a number that keeps no step with their interval.
EVERY = 11.3


def poll_versus_long_poll(target: Target, load: Load) -> Figures:
    """How soon clients know, and what that costs, either way."""
    half = load.seconds / 2
    plain = _watch(target, load, half, 0.0, wait=0, interval=load.interval)
    target.settle()
    long = _watch(target, load, half, 0.5, wait=load.wait, interval=0.0)
    return {f"poll_{name}": value for name, value in plain.items()} | {
        f"long_{name}": value for name, value in long.items()
    }


def _watch(
    target: Target, load: Load, seconds: float, done: float, *, wait: int, interval: float
) -> Figures:
    [channel] = fresh_channels(load)[:1]
    with target.publisher(load) as publisher, target.crew(load, wait=wait) as crew:
        crew.open([channel], load.holds, interval=interval)
        # A first round, so that everybody has begun.
        time.sleep(interval)
        target.settle()
        crew.count()
        cpu, begun, next_event = target.cpu(), time.monotonic(), 0.0
        while (passed := time.monotonic() - begun) < seconds:
            # The last event is one that a poll can still fetch.
            if next_event <= passed < seconds - interval:
                publisher.publish(channel)
                next_event += EVERY
            time.sleep(0.02)
            load.tick(done + min(0.5, passed / seconds / 2))
        cpu, wall = target.cpu() - cpu, time.monotonic() - begun
        time.sleep(interval)
        report = crew.report(publisher.published)
    return {
        "p50_ms": report.latencies.quantile(0.5),
        "p99_ms": report.latencies.quantile(0.99),
        "max_ms": report.latencies.max / 1e6,
        "requests_per_s": report.asked / (wall + interval),
        "server_share": cpu / wall,
        "received": report.received,
        "lost": report.lost,
        "duplicated": report.duplicated,
        "generator_share": report.busiest,
    }
