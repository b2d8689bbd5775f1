"""Memory: the resident memory of a hold, before its first event and after some events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.bench.scenarios.fan_out import rounds
from pushhub.bench.target import fresh_channels

if TYPE_CHECKING:
    from pushhub.bench.target import Figures, Load, Target

# After so many events memory does not grow further.
ROUNDS = 3


def memory(target: Target, load: Load, *, tokens: bool = False) -> Figures:
    """The server must be a new process: an older one would reuse freed memory."""
    channels = fresh_channels(load)
    own, changes = target.own_tokens(load) if tokens else ([], {})
    empty = target.rss()
    with target.publisher(load) as publisher, target.generators(load, **changes) as pool:
        pool.open(channels, load.holds // len(channels), tokens=own)
        target.settle()
        parked = target.rss()
        load.tick(0.5)
        pool.count()
        rounds(target, pool, publisher, channels, ROUNDS)
        used = target.rss()
        report = pool.report(publisher.published)
    return {
        "rss_per_hold_kib": (parked - empty) / load.holds,
        "rss_per_hold_after_events_kib": (used - empty) / load.holds,
        "rss_empty_mib": empty / 1024,
        "rss_mib": used / 1024,
        "lost": report.lost,
        "duplicated": report.duplicated,
        "broken": report.broken,
    }
