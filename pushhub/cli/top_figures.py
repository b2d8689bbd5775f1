"""The figures of `pushhub top`, pure: samples of /metrics, their differences, and the sums."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields

_LINE = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?\s*")
_LABEL = re.compile(r'\b(\w+)="((?:[^"\\]|\\.)*)"')

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class MetricsSample:
    """The values of one scrape, by name and labels. `at` is a monotonic time in seconds."""

    at: float
    values: Mapping[str, Mapping[Labels, float]]

    def total(self, name: str, **labels: str) -> float:
        """The sum of all series of a metric that have these labels; 0 without one."""
        chosen = set(labels.items())
        return sum(value for key, value in self.values.get(name, {}).items() if chosen <= set(key))

    def by(self, name: str, label: str) -> dict[str, float]:
        """The values of a metric by one label."""
        return {dict(key).get(label, ""): value for key, value in self.values.get(name, {}).items()}


def parse_exposition(text: str, at: float) -> MetricsSample:
    """A sample from Prometheus' text format. Lines that are no sample are left out."""
    values: dict[str, dict[Labels, float]] = {}
    for line in text.splitlines():
        if line.startswith("#") or (found := _LINE.fullmatch(line)) is None:
            continue
        name, labels, number = found.groups()
        try:
            value = float(number)
        except ValueError:
            continue
        key = tuple(sorted(_LABEL.findall(labels))) if labels else ()
        values.setdefault(name, {})[key] = value
    return MetricsSample(at, values)


def increase(before: float, after: float) -> float:
    """The growth of a counter, which begins at 0 again when its process does."""
    return after - before if after >= before else after


def quantile(counts: Mapping[float, float], share: float) -> float | None:
    """A quantile from the cumulative counts of a histogram by their upper bounds, as Prometheus'
    `histogram_quantile` computes it; None without observations.
    """
    bounds = sorted(counts)
    if not bounds or counts[bounds[-1]] <= 0:
        return None
    rank = share * counts[bounds[-1]]
    lower, below = 0.0, 0.0
    for bound in bounds:
        if counts[bound] >= rank:
            if bound == float("inf"):
                return lower
            within = counts[bound] - below
            return lower + (bound - lower) * ((rank - below) / within if within else 1.0)
        lower, below = bound, counts[bound]
    return lower


def grown(
    name: str, before: MetricsSample, after: MetricsSample, **labels: str
) -> dict[float, float]:
    """The growth of a histogram between two samples: cumulative counts by upper bounds."""
    counts: dict[float, float] = {}
    chosen = set(labels.items())
    old = before.values.get(f"{name}_bucket", {})
    for key, value in after.values.get(f"{name}_bucket", {}).items():
        if chosen <= set(key) and (bound := dict(key).get("le")):
            at = float(bound)
            counts[at] = counts.get(at, 0.0) + increase(old.get(key, 0.0), value)
    return counts


@dataclass(slots=True)
class NodeFigures:
    """The figures of one node, or of all. Rates are per second, latencies in seconds, and None is
    not known. The names are those of the JSON.
    """

    workers: float = 0
    holds: float = 0
    channels: float = 0
    sessions: float = 0
    tunnels: float = 0
    published_rate: float = 0
    delivered_rate: float = 0
    refused_rate: float = 0
    gaps_rate: float = 0
    left_rate: float = 0
    wake_p50: float | None = None
    wake_p99: float | None = None
    append_p99: float | None = None
    loop_p99: float | None = None
    store_ready: bool = True
    store_lag: float = 0
    draining: bool = False
    cpu: float = 0
    memory: float = 0
    descriptors: float = 0
    origin_rate: float = 0
    origin_failed_rate: float = 0
    origin_resources: float = 0
    origin_queue: float = 0
    origin_stretched: float = 0
    limited: dict[str, float] = field(default_factory=dict)
    """The refusals of each limit since the start; those without are left out."""
    limited_rates: dict[str, float] = field(default_factory=dict)


# The histograms whose quantiles are shown: field → metric, share and labels.
_QUANTILES: dict[str, tuple[str, float, dict[str, str]]] = {
    "wake_p50": ("pushhub_wake_latency_seconds", 0.5, {}),
    "wake_p99": ("pushhub_wake_latency_seconds", 0.99, {}),
    "append_p99": ("pushhub_store_seconds", 0.99, {"op": "append"}),
    "loop_p99": ("pushhub_loop_lag_seconds", 0.99, {}),
}
# Field → metric, for the present values and for the rates.
_GAUGES = {
    "workers": "pushhub_workers",
    "holds": "pushhub_holds",
    "channels": "pushhub_channels",
    "sessions": "pushhub_bosh_sessions",
    "tunnels": "pushhub_tunnels",
    "store_lag": "pushhub_store_lag_seconds",
    "memory": "process_resident_memory_bytes",
    "descriptors": "process_open_fds",
    "origin_resources": "pushhub_origin_resources",
    "origin_queue": "pushhub_origin_fetch_queue",
    "origin_stretched": "pushhub_origin_stretched_seconds",
}
_RATES: dict[str, tuple[str, dict[str, str]]] = {
    "published_rate": ("pushhub_publish_total", {"result": "ok"}),
    "delivered_rate": ("pushhub_deliver_events_total", {}),
    "refused_rate": ("pushhub_rejected_total", {}),
    "left_rate": ("pushhub_disconnect_total", {}),
    "cpu": ("process_cpu_seconds_total", {}),
    "origin_rate": ("pushhub_origin_looks_total", {}),
    "origin_failed_rate": ("pushhub_origin_looks_total", {"result": "failed"}),
}


def figures(before: MetricsSample, after: MetricsSample) -> NodeFigures:
    """The figures of a node from two samples; the rates are those of the time between them."""
    seconds = max(after.at - before.at, 1e-9)

    def rate(name: str, **labels: str) -> float:
        return increase(before.total(name, **labels), after.total(name, **labels)) / seconds

    found = NodeFigures(
        store_ready=after.total("pushhub_store_ready") > 0,
        draining=after.total("pushhub_draining") > 0,
        gaps_rate=rate("pushhub_recover_total") - rate("pushhub_recover_total", result="ok"),
    )
    for name, metric in _GAUGES.items():
        setattr(found, name, after.total(metric))
    for name, (metric, labels) in _RATES.items():
        setattr(found, name, rate(metric, **labels))
    for name, (metric, share, labels) in _QUANTILES.items():
        setattr(found, name, quantile(grown(metric, before, after, **labels), share))
    old = before.by("pushhub_limited_total", "limit")
    for limit, count in after.by("pushhub_limited_total", "limit").items():
        if count:
            found.limited[limit] = count
            found.limited_rates[limit] = increase(old.get(limit, 0.0), count) / seconds
    return found


# Figures that do not add up: the sum has the worst one.
_WORST = frozenset({*_QUANTILES, "store_lag", "origin_stretched"})


def summed(nodes: Iterable[NodeFigures]) -> NodeFigures:
    """The figures of all nodes together; quantiles do not add up, so the largest counts."""
    total = NodeFigures()
    for node in nodes:
        for one in fields(NodeFigures):
            mine, other = getattr(total, one.name), getattr(node, one.name)
            if isinstance(mine, dict):
                for key, value in other.items():
                    mine[key] = mine.get(key, 0.0) + value
            elif one.name == "store_ready":
                total.store_ready = mine and other
            elif one.name == "draining":
                total.draining = mine or other
            elif one.name in _WORST:
                known = [value for value in (mine, other) if value is not None]
                setattr(total, one.name, max(known, default=None))
            else:
                setattr(total, one.name, mine + other)
    return total
