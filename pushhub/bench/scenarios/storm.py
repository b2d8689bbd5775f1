"""Reconnect storm: every client's connection breaks, something happens, and all come back at once,
each from its own cursor.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pushhub.bench.target import fresh_channels

if TYPE_CHECKING:
    from pushhub.bench.target import Figures, Load, Target

# Seconds for all to be back.
PATIENCE = 120.0
STORMS = 3


def reconnect_storm(target: Target, load: Load) -> Figures:
    """Three storms. A storm is over when everybody has what was published meanwhile, and waits
    again.
    """
    channels = fresh_channels(load)
    took: list[float] = []
    with target.publisher(load) as publisher, target.crew(load) as crew:
        crew.open(channels, load.holds // len(channels))
        target.settle()
        crew.count()
        cpu = target.cpu()
        for number in range(1, STORMS + 1):
            crew.leave()
            for channel in channels:
                publisher.publish(channel)
            crew.expect(number)
            begun = time.monotonic()
            crew.come_back()
            crew.reached(PATIENCE)
            took.append(time.monotonic() - begun)
            target.settle()
            load.tick(number / STORMS)
        cpu = target.cpu() - cpu
        report = crew.report(publisher.published)
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
