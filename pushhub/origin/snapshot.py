"""The state of the origin on one process, for the operator's console.

Its size is bounded: the first routes, the resources that are always new, then those with most
waiting requests and most fetches, and of each URL the path and the names of its parameters. Values
of parameters may be secrets.
"""

from __future__ import annotations

from collections import Counter
from heapq import nlargest
from typing import TYPE_CHECKING, Any

from pushhub.origin.shared.unshared_log import ALWAYS_NEW

if TYPE_CHECKING:
    from pushhub.origin.routes import RouteRow
    from pushhub.origin.shared.resource import Resource
    from pushhub.origin.shared.table import ResourceTable

# About 20 KiB of JSON for each process: the longest table that an operator reads.
MAX_ROUTES = 100
MAX_RESOURCES = 50
MAX_NOT_SHARED = 50
# Characters of a path, and parameters of a query.
MAX_PATH = 200
MAX_PARAMETERS = 10


def origin_snapshot(table: ResourceTable) -> dict[str, Any]:
    """Routes, resources and fetches of this process, as JSON."""
    origin, hub, now = table.origin, table.hub, table.hub.now()
    rows = origin.routes.rows
    numbers = {id(row.route): row.index for row in rows}
    resources: Counter[int] = Counter()
    waiting: Counter[int] = Counter()
    ranked: list[tuple[bool, int, int, int, Resource]] = []
    for order, resource in enumerate(table):
        waiters = hub.holds_on(resource.channel)
        number = numbers.get(id(resource.route), -1)
        resources[number] += 1
        waiting[number] += waiters
        always_new = resource.state.interval.is_always_new()
        ranked.append((always_new, waiters, resource.fetches, order, resource))
    busiest = nlargest(MAX_RESOURCES, ranked)
    unshared = table.unshared
    not_shared = sorted(unshared.counts.items(), key=lambda entry: -entry[1].at)
    # The latest reason of each path, which is the last of its entries here.
    reasons = {count.path: why for (_, why), count in reversed(not_shared)}
    return {
        "time": round(hub.clock(), 3),
        "routes": [_route(row, resources, waiting) for row in rows[:MAX_ROUTES]],
        "routes_in_all": len(rows),
        "paces": [
            {"origin": target, "share": round(pace.tokens.rate, 2),
             "budget": round(pace.budget.rate, 2), "due": round(pace.budget.due, 2),
             "interval": round(pace.interval, 2), "waiting": pace.budget.waiters,
             "queued": len(pace)}
            for target, pace in list(table.pace.origins.items())[:MAX_ROUTES]
        ],
        "resources": [
            _resource(resource, waiters, numbers.get(id(resource.route)), now)
            | {"always_new": always_new, "why": reasons.get(resource.key.path, "")}
            for always_new, waiters, _, _, resource in busiest
        ],
        "always_new_in_all": sum(always_new for always_new, *_ in ranked),
        "resources_in_all": len(ranked),
        "waiting": waiting.total(),
        "not_shared": [
            {"path": route, "why": why, "times": count.times, "last": count.path[:MAX_PATH],
             "differs": unshared.differing.get(route, "") if why == ALWAYS_NEW else "",
             "ago": round(now - count.at, 1)}
            for (route, why), count in not_shared[:MAX_NOT_SHARED]
        ],
        "not_shared_in_all": len(not_shared),
        "bytes": table.size,
        "answered": {"memory": table.served_from_memory, "fetch": table.served_after_fetch},
        "notices": table.notifications,
        "grip_held": len(origin.grip.holds) if origin.grip is not None else 0,
    }  # fmt: skip


def fetch_counters(table: ResourceTable) -> dict[str, int]:
    """The counters of the console's plots, since the start, and two current numbers."""
    results = table.fetcher.results
    return {
        "fetches": sum(results.values()),
        "failed": results["failed"],
        "resources": len(table),
        "under_way": table.origin.client.in_flight,
    }


def _route(row: RouteRow, resources: Counter[int], waiting: Counter[int]) -> dict[str, Any]:
    route = row.route
    fields: dict[str, Any] = {
        "route": row.index + 1,
        "host": route.host,
        "path": route.path[:MAX_PATH],
        "step": route.step,
        "target": row.target,
        "resources": resources[row.index],
        "waiting": waiting[row.index],
    }
    if route.methods != ("GET",):
        fields["methods"] = list(route.methods)
    if route.step == "poll":
        fields |= {"interval": route.interval, "slowest": route.slowest}
    return fields


def _resource(resource: Resource, waiting: int, number: int | None, now: float) -> dict[str, Any]:
    interval, verified = resource.state.interval, resource.state.verified
    polls = resource.route.step == "poll" or interval.problem is not None
    path = resource.key.path
    if resource.key.query:
        names = [part.partition("=")[0] for part in resource.key.query.split("&")]
        path += "?" + "&".join(names[:MAX_PARAMETERS])
    current, newest = verified > float("-inf"), resource.state.newest
    return {
        "path": path[:MAX_PATH],
        "method": resource.key.method,
        "route": None if number is None else number + 1,
        "waiting": waiting,
        "fetches": resource.fetches,
        "received": resource.state.received,
        "pause": round(max(interval.pause, resource.stretched), 2) if polls else None,
        "fetched": round(now - verified, 1) if current else None,
        "status": None if newest is None else newest.status,
        "problem": "" if interval.problem is None else interval.problem.detail,
        "passes": max(0.0, round(resource.passes_until - now, 1)),
    }
