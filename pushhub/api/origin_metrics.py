"""The metrics of the origin and of its shared resources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pushhub.api.metric import Metric, Value

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from pushhub.api.service import Service


def _origin(
    read: Callable[[Any], Value | Mapping[str, Value]], without: Value | Mapping[str, Value] = 0
) -> Callable[[Any], Value | Mapping[str, Value]]:
    """Reads from the table of shared resources; `without` is the value where there is no origin."""

    def value(service: Service) -> Value | Mapping[str, Value]:
        return without if service.notifications is None else read(service.notifications.table)

    return value


def _paces(table: Any) -> Collection[Any]:
    """The pace of each origin."""
    paces: Collection[Any] = table.pace.origins.values()
    return paces


ORIGIN_METRICS: tuple[Metric, ...] = (
    Metric(
        "pushhub_origin_under_way",
        "Requests that wait for the origin's response to begin.",
        "gauge",
        _origin(lambda table: table.origin.client.in_flight),
    ),
    Metric(
        "pushhub_tunnels",
        "WebSockets to the origin, with handshakes.",
        "gauge",
        _origin(lambda table: len(table.origin.tunnels)),
    ),
    Metric(
        "pushhub_origin_resources",
        "Current shared resources of the origin.",
        "gauge",
        _origin(len),
    ),
    Metric(
        "pushhub_origin_looks_total",
        "Shared fetches from the origin, by result.",
        "counter",
        _origin(
            lambda table: table.fetcher.results,
            dict.fromkeys(("alone", "failed", "found", "unchanged"), 0),
        ),
        "result",
    ),
    Metric(
        "pushhub_origin_shared_total",
        "Requests that were held or completed for a shared resource: from memory, or after a "
        "fetch.",
        "counter",
        _origin(
            lambda table: {
                "memory": table.served_from_memory,
                "look": table.served_after_fetch,
            },
            {"memory": 0, "look": 0},
        ),
        "by",
    ),
    Metric(
        "pushhub_origin_notices_total",
        "Received notifications of changes.",
        "counter",
        _origin(lambda table: table.notifications),
    ),
    Metric(
        "pushhub_sources_disconnected",
        "Databases and folders of the setting sources that are not listened to now.",
        "gauge",
        lambda service: 0 if service.sources is None else service.sources.disconnected(),
    ),
    Metric(
        "pushhub_origin_stalled_total",
        "Retries for a shared resource that were abandoned because they made no progress.",
        "counter",
        _origin(lambda table: table.unshared.stalls),
    ),
    Metric(
        "pushhub_origin_always_new_total",
        "Fetches that found a change, of shared resources for which every fetch finds one.",
        "counter",
        _origin(lambda table: table.unshared.always_new_fetches),
    ),
    Metric(
        "pushhub_origin_fetch_budget",
        "Paced fetches a second that this process may send to its origins.",
        "gauge",
        _origin(lambda table: round(sum(pace.tokens.rate for pace in _paces(table)), 3)),
    ),
    Metric(
        "pushhub_origin_fetch_due",
        "Fetches a second that are due by the routes' intervals, on all nodes.",
        "gauge",
        _origin(lambda table: round(sum(pace.budget.due for pace in _paces(table)), 3)),
    ),
    Metric(
        "pushhub_origin_stretched_seconds",
        "The longest interval to which the fetches of an origin are stretched; 0 while none is.",
        "gauge",
        _origin(
            lambda table: round(max((pace.interval for pace in _paces(table)), default=0.0), 3)
        ),
    ),
    Metric(
        "pushhub_origin_fetch_queue",
        "Resources that are due and wait for the budget of their origin.",
        "gauge",
        _origin(lambda table: sum(map(len, _paces(table)))),
    ),
)
