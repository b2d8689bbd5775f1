"""Churn: holds whose waits end after a second without news, and who ask again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pushhub.bench.target import fresh_channels

if TYPE_CHECKING:
    from pushhub.bench.target import Figures, Load, Target

# The shortest that every server can be asked for.
WAIT = 1


def churn(target: Target, load: Load) -> Figures:
    """Let polls time out for `seconds`, and see that an event still reaches everybody."""
    channels = fresh_channels(load)
    with target.publisher(load) as publisher, target.crew(load, wait=WAIT) as crew:
        crew.open(channels, load.holds // len(channels))
        time.sleep(WAIT)
        crew.count()
        cpu, begun = target.cpu(), time.monotonic()
        while (passed := time.monotonic() - begun) < load.seconds:
            time.sleep(min(0.2, load.seconds - passed))
            load.tick(min(1.0, passed / load.seconds))
        cpu, wall = target.cpu() - cpu, time.monotonic() - begun
        polls = crew.report()
        crew.count()
        crew.expect(1)
        for channel in channels:
            publisher.publish(channel)
        crew.reached(30.0)
        report = crew.report(publisher.published)
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
