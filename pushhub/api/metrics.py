"""`/metrics` in Prometheus' text format (0.0.4): a table of metrics, rendered on request."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pushhub.api.build_info import build_info
from pushhub.api.canary_metrics import CANARY_METRICS
from pushhub.api.metric import Info, Metric, Value
from pushhub.api.origin_metrics import ORIGIN_METRICS
from pushhub.api.process_figures import most_descriptors, open_descriptors, resident_bytes
from pushhub.api.request_spans import NO_SPANS
from pushhub.hub.stats import Histogram

if TYPE_CHECKING:
    from pushhub.api.service import Service

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def render(service: Service) -> str:
    """Every metric, with its meaning."""
    return "".join(_family(metric, metric.read(service)) for metric in METRICS)


def _labelled(values: Mapping[str, Value]) -> dict[str, Value]:
    """Values by names of channels, written as labels."""
    return {_escaped(name): value for name, value in values.items()}


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


METRICS: tuple[Metric, ...] = (
    Metric(
        "pushhub_build_info",
        "1, with the versions of pushhub and Python and the kind of the store as labels.",
        "gauge",
        lambda service: Info(build_info(service)),
    ),
    Metric("pushhub_workers", "Processes in the sum of these figures.", "gauge", lambda service: 1),
    Metric(
        "pushhub_workers_replaced_total",
        "Workers that were replaced: dead ones, and hung ones that the supervisor killed.",
        "counter",
        lambda service: service.replaced,
        "reason",
    ),
    Metric(
        "pushhub_spans_total",
        "Spans of traces: exported to the collector, refused by it (failed), or dropped because "
        "too many were open or waited for their export.",
        "counter",
        lambda service: NO_SPANS if service.tracer is None else service.tracer.results,
        "result",
    ),
    Metric(
        "pushhub_jwks_keys",
        "Keys of the identity provider that are valid, with those in their grace.",
        "gauge",
        lambda service: 0 if service.jwks is None else len(service.jwks),
    ),
    Metric(
        "pushhub_jwks_age_seconds",
        "Seconds since the key set of the identity provider was read.",
        "gauge",
        lambda service: 0 if service.jwks is None else round(service.jwks.age, 1),
    ),
    Metric(
        "pushhub_jwks_reads_total",
        "Reads of the key set of the identity provider.",
        "counter",
        lambda service: {"ok": 0, "failed": 0} if service.jwks is None else service.jwks.fetches,
        "result",
    ),
    Metric(
        "pushhub_holds",
        "Current parked requests.",
        "gauge",
        lambda service: service.hub.parked,
    ),
    Metric(
        "pushhub_channel_waits",
        "Channels of the current parked requests, counted for each request.",
        "gauge",
        lambda service: service.hub.channel_waits,
    ),
    Metric(
        "pushhub_channel_waits_limit",
        "The limit of pushhub_channel_waits (max_holds).",
        "gauge",
        lambda service: service.hub.max_holds,
    ),
    Metric(
        "pushhub_channels",
        "Channels in memory.",
        "gauge",
        lambda service: len(service.hub.channels),
    ),
    Metric(
        "pushhub_stored_channels",
        "Channels that occupy space in the store.",
        "gauge",
        lambda service: service.stored,
    ),
    Metric(
        "pushhub_namespace_bytes",
        "Bytes that a namespace with a limit retains.",
        "gauge",
        lambda service: _labelled(service.retained),
        "namespace",
    ),
    Metric(
        "pushhub_namespace_limit_bytes",
        "Bytes that a namespace may retain.",
        "gauge",
        lambda service: _labelled(service.settings.namespace_limits),
        "namespace",
    ),
    Metric(
        "pushhub_tail_bytes",
        "Bytes of events kept in memory.",
        "gauge",
        lambda service: service.hub.channels.tail_bytes,
    ),
    Metric(
        "pushhub_body_bytes",
        "Bytes of incomplete requests in memory.",
        "gauge",
        lambda service: service.budget.used,
    ),
    Metric(
        "pushhub_body_refused_total",
        "Requests that were refused because too many bytes of incomplete ones were in memory: of "
        "the process, or of their client.",
        "counter",
        lambda service: service.budget.refused,
        "limit",
    ),
    Metric(
        "pushhub_bosh_sessions",
        "Current BOSH sessions.",
        "gauge",
        lambda service: service.sessions() if service.sessions else 0,
    ),
    Metric(
        "pushhub_bosh_session_bytes",
        "Bytes that BOSH sessions hold for their clients.",
        "gauge",
        lambda service: service.session_bytes() if service.session_bytes else 0,
    ),
    Metric(
        "pushhub_bosh_session_limit_bytes",
        "The limit of pushhub_bosh_session_bytes (bosh_total_bytes).",
        "gauge",
        lambda service: service.settings.bosh_total_bytes,
    ),
    Metric(
        "pushhub_xmpp_stalls_total",
        "Loops of the XMPP server that were abandoned because they made no progress.",
        "counter",
        lambda service: service.hub.stats.xmpp_stalls,
        "loop",
    ),
    Metric(
        "pushhub_draining",
        "1 while the server drains.",
        "gauge",
        lambda service: int(service.hub.draining),
    ),
    Metric(
        "pushhub_store_ready",
        "1 while the store is available.",
        "gauge",
        lambda service: int(service.hub.store.ready),
    ),
    Metric(
        "pushhub_store_evicts",
        "1 while Redis may evict logs without a gap for readers.",
        "gauge",
        lambda service: int(getattr(service.hub.store, "evicts", False)),
    ),
    Metric(
        "pushhub_store_writable",
        "0 from a failed publish until the next publish or probe succeeds.",
        "gauge",
        lambda service: int(service.hub.health.writes is None),
    ),
    Metric(
        "pushhub_hold_seconds",
        "Time that requests were parked, for every end.",
        "histogram",
        lambda service: service.hub.stats.hold_seconds,
    ),
    Metric(
        "pushhub_wake_latency_seconds",
        "Time from an event's arrival at the hub to its delivery to a hold.",
        "histogram",
        lambda service: service.hub.stats.wake_latency,
    ),
    Metric(
        "pushhub_completed_total",
        "Completed holds, by the event that ended the wait.",
        "counter",
        lambda service: service.hub.stats.completed,
        "by",
    ),
    Metric(
        "pushhub_revocations",
        "Revoked tokens, subjects and keys, as this process knows them.",
        "gauge",
        lambda service: 0 if service.revocations is None else len(service.revocations),
    ),
    Metric(
        "pushhub_disconnect_total",
        "Holds that ended without a response.",
        "counter",
        lambda service: {"client": service.hub.stats.dropped},
        "reason",
    ),
    Metric(
        "pushhub_publish_total",
        "Published events, by result.",
        "counter",
        lambda service: service.hub.stats.published,
        "result",
    ),
    Metric(
        "pushhub_deliver_events_total",
        "Events written to readers, counted for each reader.",
        "counter",
        lambda service: service.hub.stats.delivered,
    ),
    Metric(
        "pushhub_recover_total",
        "Polls from a cursor behind the log's end: recovered, or the reason of the gap.",
        "counter",
        lambda service: {"ok": service.hub.stats.recovered, **service.hub.stats.gaps},
        "result",
    ),
    Metric(
        "pushhub_rejected_total",
        "Refused requests, by problem; 'full' are polls that could not be held.",
        "counter",
        lambda service: {"full": service.hub.stats.refused_holds, **service.rejected},
        "reason",
    ),
    Metric(
        "pushhub_limited_total",
        "Refusals by a limit, by its name.",
        "counter",
        lambda service: service.callers.limits.limited,
        "limit",
    ),
    Metric(
        "pushhub_limited_slowed_total",
        "Refusals by limits that waited, because their client goes on sending.",
        "counter",
        lambda service: service.callers.limits.slowed,
    ),
    Metric(
        "pushhub_limits_degraded_total",
        "Decisions of shared limits by the local share, while Redis could not be reached.",
        "counter",
        lambda service: service.callers.limits.degraded,
    ),
    Metric(
        "pushhub_audit_dropped_total",
        "Lines that the audit log left out or could not write, by reason.",
        "counter",
        lambda service: service.audit.dropped,
        "reason",
    ),
    Metric(
        "pushhub_store_seconds",
        "Duration of store operations.",
        "histogram",
        lambda service: {
            "append": service.hub.stats.append_seconds,
            "read": service.hub.stats.read_seconds,
        },
        "op",
    ),
    Metric(
        "pushhub_store_lag_seconds",
        "Time that the oldest pending publish has waited for the store.",
        "gauge",
        lambda service: service.hub.publishing.lag(),
    ),
    Metric(
        "pushhub_store_refused_total",
        "Events that the store did not accept, by reason.",
        "counter",
        lambda service: service.hub.health.refused,
        "reason",
    ),
    Metric(
        "pushhub_store_read_failed_total",
        "Reads that failed.",
        "counter",
        lambda service: service.hub.stats.read_failed,
    ),
    Metric(
        "pushhub_feed_repaired_total",
        "Holds that received from the log an event that the store's feed had lost.",
        "counter",
        lambda service: service.hub.stats.repaired,
    ),
    Metric(
        "pushhub_descriptors_exhausted_total",
        "Seconds in which no file descriptor was left.",
        "counter",
        lambda service: service.hub.stats.descriptors_exhausted,
    ),
    Metric(
        "pushhub_loop_lag_seconds",
        "Delay of the event loop's timer.",
        "histogram",
        lambda service: service.hub.stats.loop_lag,
    ),
    Metric(
        "pushhub_gc_pause_seconds",
        "Pauses of the garbage collector.",
        "histogram",
        lambda service: service.hub.stats.gc_pauses,
    ),
    *CANARY_METRICS,
    *ORIGIN_METRICS,
    # The names of the official clients, so that common dashboards fit.
    Metric(
        "process_cpu_seconds_total",
        "CPU time, user and system.",
        "counter",
        lambda service: round(time.process_time(), 2),
    ),
    Metric(
        "process_max_fds",
        "Limit of open file descriptors.",
        "gauge",
        lambda service: most_descriptors(),
    ),
    Metric("process_resident_memory_bytes", "Resident memory.", "gauge", resident_bytes),
    Metric("process_open_fds", "Open file descriptors.", "gauge", open_descriptors),
)


def _family(metric: Metric, value: Value | Mapping[str, Value] | Info | None) -> str:
    if value is None:
        return ""
    name, label = metric.name, metric.label
    head = f"# HELP {name} {metric.help}\n# TYPE {name} {metric.type}\n"
    if isinstance(value, Info):
        labels = ",".join(f'{key}="{_escaped(fact)}"' for key, fact in value.labels.items())
        series = [_series(name, 1, labels)]
    elif isinstance(value, Mapping):
        series = [_series(name, one, f'{label}="{key}"') for key, one in sorted(value.items())]
    else:
        series = [_series(name, value)]
    return head + "".join(series)


def _series(name: str, value: Value, labels: str = "") -> str:
    braces = f"{{{labels}}}" if labels else ""
    if not isinstance(value, Histogram):
        return f"{name}{braces} {value}\n"
    lines, total = [], 0
    comma = "," if labels else ""
    for bound, count in zip((*value.bounds, "+Inf"), value.counts, strict=True):
        total += count
        lines.append(f'{name}_bucket{{{labels}{comma}le="{bound}"}} {total}\n')
    lines.append(f"{name}_sum{braces} {value.sum:.6f}\n{name}_count{braces} {total}\n")
    return "".join(lines)
