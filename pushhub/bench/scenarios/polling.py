"""Polling beside long-polling: the same clients and the same events, once with a poll every five
seconds, and once with polls that wait.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pushhub.bench.target import fresh_channels

if TYPE_CHECKING:
    from pushhub.bench.target import Figures, Load, Target

# Seconds between two events: longer than the interval of polls, as for most polled resources, and
# not a multiple of it.
EVERY = 11.3


def poll_versus_long_poll(target: Target, load: Load) -> Figures:
    """The latency and the cost of both ways."""
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
    with target.publisher(load) as publisher, target.generators(load, wait=wait) as pool:
        pool.open([channel], load.holds, interval=interval)
        # A first round, so that all clients have started.
        time.sleep(interval)
        target.settle()
        pool.count()
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
        report = pool.report(publisher.published)
    return {
        "p50_ms": report.latencies.quantile(0.5),
        "p99_ms": report.latencies.quantile(0.99),
        "max_ms": report.latencies.max / 1e6,
        "requests_per_s": report.requests / (wall + interval),
        "server_share": cpu / wall,
        "received": report.received,
        "lost": report.lost,
        "duplicated": report.duplicated,
        "generator_share": report.busiest,
    }
