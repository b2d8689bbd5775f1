"""Idle: the CPU of holds without events: while they wait, and with a new poll every 25 seconds."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pushhub.bench.target import fresh_channels

if TYPE_CHECKING:
    from pushhub.bench.target import Figures, Load, Target

# The wait of the second part, in seconds.
WAIT = 25


def idle(target: Target, load: Load) -> Figures:
    """The CPU share with all holds parked for `seconds`, and then with waits of 25 s that end."""
    parked, _ = _watch(target, load, load.wait, load.seconds, 0.0)
    # Waits end after 20 to 25 seconds: a whole round of them, from its first to its last.
    asking, empty = _watch(target, load, WAIT, WAIT, 0.5)
    return {
        "idle_share": parked,
        "asking_share": asking,
        "timeouts_per_s": empty / WAIT,
    }


def _watch(target: Target, load: Load, wait: int, seconds: float, done: float) -> tuple[float, int]:
    channels = fresh_channels(load)
    with target.generators(load, wait=wait) as pool:
        pool.open(channels, load.holds // len(channels))
        target.settle()
        pool.count()
        cpu, begun = target.cpu(), time.monotonic()
        while (passed := time.monotonic() - begun) < seconds:
            time.sleep(min(0.5, seconds - passed))
            load.tick(done + min(0.5, passed / seconds / 2))
        return (target.cpu() - cpu) / (time.monotonic() - begun), pool.report().empty
