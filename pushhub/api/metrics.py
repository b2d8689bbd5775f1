"""`/metrics` in Prometheus' text format (0.0.4), rendered from plain ints when somebody asks."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pushhub.api.service import Service
    from pushhub.hub.stats import Histogram

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Samples = "Mapping[str, float]"


def render(service: Service) -> str:
    """Every metric, with what it means."""
    hub, stats = service.hub, service.hub.stats
    text = [
        _gauge("pushhub_workers", "Processes in the sum of these figures.", 1),
        _counters(
            "pushhub_workers_replaced_total",
            "Workers that were replaced: dead ones, and hung ones that the supervisor killed.",
            "reason",
            service.replaced,
        ),
        _gauge("pushhub_holds", "Current parked requests.", hub.parked),
        _gauge("pushhub_channels", "Channels in memory.", len(hub.shelf)),
        _gauge(
            "pushhub_stored_channels", "Channels that occupy space in the store.", service.stored
        ),
        _gauge("pushhub_tail_bytes", "Bytes of events kept in memory.", hub.shelf.tail_bytes),
        _gauge(
            "pushhub_bosh_sessions",
            "Current BOSH sessions.",
            service.sessions() if service.sessions else 0,
        ),
        _counters(
            "pushhub_xmpp_stalls_total",
            "Loops of the XMPP server that were abandoned because they made no progress.",
            "loop",
            stats.xmpp_stalls,
        ),
        _gauge("pushhub_draining", "1 while the server drains.", int(hub.draining)),
        _gauge("pushhub_store_ready", "1 while the store is available.", int(hub.store.ready)),
        _gauge(
            "pushhub_store_evicts",
            "1 while Redis may evict logs without a gap for readers.",
            int(getattr(hub.store, "evicts", False)),
        ),
        _gauge(
            "pushhub_store_writable",
            "0 from a failed publish until the next publish or probe succeeds.",
            int(hub.health.writes is None),
        ),
        _histogram(
            "pushhub_hold_seconds",
            "Time that requests were parked, for every end.",
            stats.hold_seconds,
        ),
        _histogram(
            "pushhub_wake_latency_seconds",
            "Time from an event's arrival at the hub to its delivery to a hold.",
            stats.wake_latency,
        ),
        _counters(
            "pushhub_completed_total",
            "Completed holds, by the event that ended the wait.",
            "by",
            {
                "event": stats.completed_by_event,
                "deadline": stats.completed_by_deadline,
                "delete": stats.completed_by_delete,
                "drain": stats.completed_by_drain,
                "newer": stats.completed_by_newer,
            },
        ),
        _counters(
            "pushhub_disconnect_total",
            "Holds that ended without a response.",
            "reason",
            {"client": stats.dropped},
        ),
        _counters(
            "pushhub_publish_total",
            "Published events, by result.",
            "result",
            {
                "ok": stats.publish_ok,
                "duplicate": stats.publish_duplicate,
                "refused": stats.publish_refused,
                "failed": stats.publish_failed,
            },
        ),
        _counter(
            "pushhub_deliver_events_total",
            "Events written to readers, counted for each reader.",
            stats.delivered,
        ),
        _counters(
            "pushhub_recover_total",
            "Polls from a cursor behind the log's end: recovered, or the reason of the gap.",
            "result",
            {"ok": stats.recovered, **stats.gaps},
        ),
        _counters(
            "pushhub_rejected_total",
            "Refused requests, by problem; 'full' are polls that could not be held.",
            "reason",
            {"full": stats.refused_holds, **service.rejected},
        ),
        _family("pushhub_store_seconds", "Duration of store operations.", "histogram"),
        _series("pushhub_store_seconds", stats.append_seconds, 'op="append"'),
        _series("pushhub_store_seconds", stats.read_seconds, 'op="read"'),
        _gauge(
            "pushhub_store_lag_seconds",
            "Time that the oldest pending publish has waited for the store.",
            hub.publishing.lag(),
        ),
        _counters(
            "pushhub_store_refused_total",
            "Events that the store did not accept, by reason.",
            "reason",
            hub.health.refused,
        ),
        _counter("pushhub_store_read_failed_total", "Reads that failed.", stats.read_failed),
        _counter(
            "pushhub_feed_repaired_total",
            "Holds that received from the log an event that the store's feed had lost.",
            stats.repaired,
        ),
        _counter(
            "pushhub_descriptors_exhausted_total",
            "Seconds in which no file descriptor was left.",
            stats.descriptors_exhausted,
        ),
        _histogram("pushhub_loop_lag_seconds", "Delay of the event loop's timer.", stats.loop_lag),
        _histogram(
            "pushhub_gc_pause_seconds",
            "Pauses of the garbage collector.",
            stats.gc_pauses,
        ),
        *_origin(service),
        *_process(),
    ]
    return "".join(text)


def _origin(service: Service) -> Iterable[str]:
    sharing = None if service.notices is None else service.notices.sharing
    yield _gauge(
        "pushhub_origin_under_way",
        "Requests that wait for the origin's response to begin.",
        0 if sharing is None else sharing.origin.client.under_way,
    )
    yield _gauge(
        "pushhub_origin_resources",
        "Current shared resources of the origin.",
        0 if sharing is None else len(sharing),
    )
    yield _counters(
        "pushhub_origin_looks_total",
        "Shared fetches from the origin, by result.",
        "result",
        dict.fromkeys(("alone", "failed", "found", "unchanged"), 0)
        if sharing is None
        else sharing.fetching.results,
    )
    yield _counters(
        "pushhub_origin_shared_total",
        "Requests that were held or completed for a shared resource: from memory, or after a "
        "fetch.",
        "by",
        {
            "memory": 0 if sharing is None else sharing.at_once,
            "look": 0 if sharing is None else sharing.looked,
        },
    )
    yield _counter(
        "pushhub_origin_notices_total",
        "Received notifications of changes.",
        0 if sharing is None else sharing.notices,
    )
    yield _counter(
        "pushhub_origin_stalled_total",
        "Retries for a shared resource that were abandoned because they made no progress.",
        0 if sharing is None else sharing.stalls,
    )


def _process() -> Iterable[str]:
    # The names of the official clients, so that common dashboards fit.
    yield _counter(
        "process_cpu_seconds_total", "CPU time, user and system.", round(time.process_time(), 2)
    )
    yield _gauge("process_max_fds", "Limit of open file descriptors.", most_descriptors())
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        opened = len(os.listdir("/proc/self/fd"))
    except OSError:
        # No Linux, or no descriptor is left to look with: the other figures matter all the more.
        return
    yield _gauge(
        "process_resident_memory_bytes", "Resident memory.", pages * os.sysconf("SC_PAGE_SIZE")
    )
    yield _gauge("process_open_fds", "Open file descriptors.", opened)


def most_descriptors() -> int:
    """How many descriptors this process may have open; 0 where that cannot be known."""
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _family(name: str, help: str, kind: str) -> str:
    return f"# HELP {name} {help}\n# TYPE {name} {kind}\n"


def _gauge(name: str, help: str, value: float) -> str:
    return _family(name, help, "gauge") + f"{name} {value}\n"


def _counter(name: str, help: str, value: float) -> str:
    return _family(name, help, "counter") + f"{name} {value}\n"


def _counters(name: str, help: str, label: str, values: Mapping[str, float]) -> str:
    lines = [f'{name}{{{label}="{key}"}} {value}\n' for key, value in sorted(values.items())]
    return _family(name, help, "counter") + "".join(lines)


def _histogram(name: str, help: str, histogram: Histogram) -> str:
    return _family(name, help, "histogram") + _series(name, histogram)


def _series(name: str, histogram: Histogram, labels: str = "") -> str:
    lines, total = [], 0
    comma = "," if labels else ""
    for bound, count in zip((*histogram.bounds, "+Inf"), histogram.counts, strict=True):
        total += count
        lines.append(f'{name}_bucket{{{labels}{comma}le="{bound}"}} {total}\n')
    braces = f"{{{labels}}}" if labels else ""
    lines.append(f"{name}_sum{braces} {histogram.sum:.6f}\n{name}_count{braces} {total}\n")
    return "".join(lines)
