"""Reconnect storm: all connections break, events are published, and all clients reconnect,
each from its own cursor.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pushhub.bench.target import fresh_channels

if TYPE_CHECKING:
    from pushhub.bench.target import Figures, Load, Target

# The longest time for all clients to reconnect.
TIMEOUT_SECONDS = 120.0
STORMS = 3


def reconnect_storm(target: Target, load: Load) -> Figures:
    """Three storms. A storm ends when all clients have the missed events, and wait again."""
    channels = fresh_channels(load)
    took: list[float] = []
    with target.publisher(load) as publisher, target.generators(load) as pool:
        pool.open(channels, load.holds // len(channels))
        target.settle()
        pool.count()
        cpu = target.cpu()
        for number in range(1, STORMS + 1):
            pool.disconnect()
            for channel in channels:
                publisher.publish(channel)
            pool.expect(number)
            begun = time.monotonic()
            pool.reconnect()
            pool.reached(TIMEOUT_SECONDS)
            took.append(time.monotonic() - begun)
            target.settle()
            load.tick(number / STORMS)
        cpu = target.cpu() - cpu
        report = pool.report(publisher.published)
    return {
        "back_ms": sorted(took)[STORMS // 2] * 1e3,
        "returns_per_s": load.holds * STORMS / sum(took),
        "cpu_per_return_us": cpu / (load.holds * STORMS) * 1e6,
        "lost": report.lost,
        "duplicated": report.duplicated,
        "refused": report.refused,
        "broken": report.broken,
        "generator_share": report.busiest,
    }
