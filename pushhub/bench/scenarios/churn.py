"""Churn: waits that end after a second without an event, and clients that poll again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pushhub.bench.target import fresh_channels

if TYPE_CHECKING:
    from pushhub.bench.target import Figures, Load, Target

# The shortest wait that every server supports.
WAIT = 1


def churn(target: Target, load: Load) -> Figures:
    """Let polls time out for `seconds`, and check that an event still reaches all clients."""
    channels = fresh_channels(load)
    with target.publisher(load) as publisher, target.generators(load, wait=WAIT) as pool:
        pool.open(channels, load.holds // len(channels))
        time.sleep(WAIT)
        pool.count()
        cpu, begun = target.cpu(), time.monotonic()
        while (passed := time.monotonic() - begun) < load.seconds:
            time.sleep(min(0.2, load.seconds - passed))
            load.tick(min(1.0, passed / load.seconds))
        cpu, wall = target.cpu() - cpu, time.monotonic() - begun
        polls = pool.report()
        pool.count()
        pool.expect(1)
        for channel in channels:
            publisher.publish(channel)
        pool.reached(30.0)
        report = pool.report(publisher.published)
    return {
        "cpu_per_timeout_us": cpu / max(1, polls.empty) * 1e6,
        "timeouts_per_s": polls.empty / wall,
        "server_share": cpu / wall,
        "lost": report.lost,
        "duplicated": report.duplicated,
        "refused": polls.refused + report.refused,
        "broken": polls.broken + report.broken,
        "generator_share": polls.busiest,
    }
