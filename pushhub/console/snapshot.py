"""The sample of one process for the console, once a second while a console is open.

Counters and histograms count since the start, as in `/metrics`. The console takes differences and
adds the processes up, so a lost sample loses nothing. The console's own channels and requests are
left out.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pushhub.api.build_info import build_info
from pushhub.console.hour import KeyCounters
from pushhub.hub.stats import LATENCY_BOUNDS
from pushhub.origin.snapshot import fetch_counters

if TYPE_CHECKING:
    from pushhub.api.service import Service
    from pushhub.hub.stats import Histogram

REQUESTS = "$console:wishes"
FEED = "$console:feed"
# The console's own channels, which its figures leave out.
_OWN = (REQUESTS, FEED)

_STATM = Path("/proc/self/statm")


def figures(service: Service) -> dict[str, Any]:
    """The sample of this moment."""
    hub, stats = service.hub, service.hub.stats
    own = [found for name in _OWN if (found := hub.channels.get(name)) is not None]
    own_bytes = sum(channel.tail.size for channel in own if channel.tail is not None)
    return {
        "time": round(hub.clock(), 3),
        "holds": hub.parked,
        "channels": len(hub.channels) - len(own),
        "sessions": service.sessions() if service.sessions else None,
        "tunnels": _tunnels(service),
        "tail_bytes": hub.channels.tail_bytes - own_bytes,
        "memory": _resident(),
        "cpu": round(time.process_time(), 3),
        "draining": hub.draining or service.leaving,
        "store": {
            "ready": hub.store.ready,
            "hears": not hub.feed_monitor.disconnected,
            "lag": round(hub.publishing.lag(), 3),
            "read_failed": stats.read_failed,
            "repaired": stats.repaired,
        },
        "published": stats.published,
        "delivered": stats.delivered,
        "completed": stats.completed | {"client": stats.dropped},
        "gaps": dict(stats.gaps),
        "recovered": stats.recovered,
        "rejected": sum(service.rejected.values()) + stats.refused_holds,
        "origin": _origin(service),
        # The counts of each up to each of LATENCY_BOUNDS, and beyond the last.
        "wake": _counts(stats.wake_latency),
        "append": _counts(stats.append_seconds),
        "read": _counts(stats.read_seconds),
        "loop": _counts(stats.loop_lag),
        "canary": None if service.canary is None else _failing(service.canary.checks()),
    }


def key_counters(service: Service) -> KeyCounters:
    """The sample of this moment for the hour that each process keeps."""
    hub, stats = service.hub, service.hub.stats
    return KeyCounters(
        hub.parked,
        stats.delivered,
        stats.publish_ok,
        tuple(stats.wake_latency.counts),
        _resident(),
        tuple(stats.loop_lag.counts),
    )


def node_snapshot(service: Service) -> dict[str, Any]:
    """The facts of this process that change seldom: its versions, and its canary."""
    canary = service.canary
    return build_info(service) | {
        "canary": None
        if canary is None
        else {"checks": canary.checks(), "lost_untold": canary.lost_untold}
    }


def _failing(checks: list[dict[str, Any]]) -> list[str]:
    """The names of the checks of the canary that are red."""
    return [one["check"] for one in checks if one["state"] in ("failing", "old")]


def _origin(service: Service) -> dict[str, int] | None:
    return None if service.notifications is None else fetch_counters(service.notifications.table)


def _tunnels(service: Service) -> int | None:
    notifications = service.notifications
    return None if notifications is None else len(notifications.table.origin.tunnels)


def bounds() -> list[float]:
    """The upper bounds of a sample's histograms, in seconds."""
    return list(LATENCY_BOUNDS)


def _counts(histogram: Histogram) -> list[int]:
    return list(histogram.counts)


def _resident() -> int | None:
    """Bytes of resident memory, where the system has that figure (Linux)."""
    if not _STATM.exists():
        return None
    return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
