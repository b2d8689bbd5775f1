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
        _gauge("pushhub_workers", "Processes whose figures these are.", 1),
        _counters(
            "pushhub_workers_replaced_total",
            "Workers that were replaced: dead ones, and hung ones that the supervisor killed.",
            "reason",
            service.replaced,
        ),
        _gauge("pushhub_holds", "Requests that are parked now.", hub.parked),
        _gauge("pushhub_channels", "Channels in memory now.", len(hub.shelf)),
        _gauge("pushhub_stored_channels", "Channels that take room in the store.", service.stored),
        _gauge("pushhub_tail_bytes", "Bytes of events kept in memory.", hub.shelf.tail_bytes),
        _gauge(
            "pushhub_bosh_sessions",
            "BOSH sessions that this process has now.",
            service.sessions() if service.sessions else 0,
        ),
        _counters(
            "pushhub_xmpp_stalls_total",
            "Loops of the XMPP server that were given up for lack of progress.",
            "loop",
            stats.xmpp_stalls,
        ),
        _gauge("pushhub_draining", "1 while the server is leaving.", int(hub.draining)),
        _gauge("pushhub_store_ready", "1 while the store can be used.", int(hub.store.ready)),
        _gauge(
            "pushhub_store_evicts",
            "1 while Redis may evict logs, which no reader would be told of.",
            int(getattr(hub.store, "evicts", False)),
        ),
        _gauge(
            "pushhub_store_writable",
            "0 since a publish failed, until one, or a probe, succeeds.",
            int(hub.health.writes is None),
        ),
        _histogram(
            "pushhub_hold_seconds",
            "How long requests were parked, whatever ended it.",
            stats.hold_seconds,
        ),
        _histogram(
            "pushhub_wake_latency_seconds",
            "From an event's arrival at the hub to the moment a hold is answered with it.",
            stats.wake_latency,
        ),
        _counters(
            "pushhub_completed_total",
            "Holds that were answered, by what ended the wait.",
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
            "Holds that ended without an answer.",
            "reason",
            {"client": stats.dropped},
        ),
        _counters(
            "pushhub_publish_total",
            "Published events, by what became of them.",
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
            "Polls from a cursor that was behind: made good, or told of a gap and why.",
            "result",
            {"ok": stats.recovered, **stats.gaps},
        ),
        _counters(
            "pushhub_rejected_total",
            "Refused requests, by problem; 'full' are polls answered at once for want of room.",
            "reason",
            {"full": stats.refused_holds, **service.rejected},
        ),
        _family("pushhub_store_seconds", "What the store takes.", "histogram"),
        _series("pushhub_store_seconds", stats.append_seconds, 'op="append"'),
        _series("pushhub_store_seconds", stats.read_seconds, 'op="read"'),
        _gauge(
            "pushhub_store_lag_seconds",
            "How long the oldest publish that is not settled has waited for the store.",
            hub.publishing.lag(),
        ),
        _counters(
            "pushhub_store_refused_total",
            "Events that the store did not take, by reason.",
            "reason",
            hub.health.refused,
        ),
        _counter("pushhub_store_read_failed_total", "Reads that failed.", stats.read_failed),
        _counter(
            "pushhub_feed_repaired_total",
            "Holds that got from the log what the store's feed had not told.",
            stats.repaired,
        ),
        _counter(
            "pushhub_descriptors_exhausted_total",
            "Seconds in which no file descriptor was left.",
            stats.descriptors_exhausted,
        ),
        _histogram(
            "pushhub_loop_lag_seconds", "How late the event loop's timer fires.", stats.loop_lag
        ),
        _histogram(
            "pushhub_gc_pause_seconds",
            "How long the garbage collector stopped the process.",
            stats.gc_pauses,
        ),
        *_origin(service),
        *_process(),
    ]
    return "".join(text)


def _origin(service: Service) -> Iterable[str]:
    table = None if service.notices is None else service.notices.table
    yield _gauge(
        "pushhub_origin_under_way",
        "Requests whose answer from the origin has not begun.",
        0 if table is None else table.origin.client.in_flight,
    )
    yield _gauge(
        "pushhub_origin_resources",
        "Resources of the origin that are shared now.",
        0 if table is None else len(table),
    )
    yield _counters(
        "pushhub_origin_looks_total",
        "Requests to the origin for all who share a resource, by what they came to.",
        "result",
        dict.fromkeys(("alone", "failed", "found", "unchanged"), 0)
        if table is None
        else table.fetcher.results,
    )
    yield _counters(
        "pushhub_origin_shared_total",
        "Requests that were held or answered for a shared resource: at once, or after a look.",
        "by",
        {
            "memory": 0 if table is None else table.answered_from_memory,
            "look": 0 if table is None else table.answered_after_fetch,
        },
    )
    yield _counter(
        "pushhub_origin_notices_total",
        "Notifications of changes that were heard.",
        0 if table is None else table.notifications,
    )
    yield _counter(
        "pushhub_origin_stalled_total",
        "Retries for a shared resource that made no progress and were given up.",
        0 if table is None else table.unshared.stalls,
    )


def _process() -> Iterable[str]:
    # The names of the official clients, so that common dashboards fit.
    yield _counter(
        "process_cpu_seconds_total", "CPU time, user and system.", round(time.process_time(), 2)
    )
    yield _gauge("process_max_fds", "Most file descriptors that may be open.", most_descriptors())
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
