"""Memory: what a hold costs in resident memory, parked for the first time and after events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.bench.scenarios.fan_out import rounds
from pushhub.bench.target import fresh_channels

if TYPE_CHECKING:
    from pushhub.bench.target import Figures, Load, Target

# Events after which memory has what it grows to.
ROUNDS = 3


def memory(target: Target, load: Load, *, tokens: bool = False) -> Figures:
    """The server must be a fresh one: memory that it had used before would be used again."""
    channels = fresh_channels(load)
    own, changes = target.own_tokens(load) if tokens else ([], {})
    empty = target.rss()
    with target.publisher(load) as publisher, target.crew(load, **changes) as crew:
        crew.open(channels, load.holds // len(channels), tokens=own)
        target.settle()
        parked = target.rss()
        load.tick(0.5)
        crew.count()
        rounds(target, crew, publisher, channels, ROUNDS)
        used = target.rss()
        report = crew.report(publisher.published)
    return {
        "rss_per_hold_kib": (parked - empty) / load.holds,
        "rss_per_hold_after_events_kib": (used - empty) / load.holds,
        "rss_empty_mib": empty / 1024,
        "rss_mib": used / 1024,
        "lost": report.lost,
        "duplicated": report.duplicated,
        "broken": report.broken,
    }
