"""The state of the origin on one process, for the operator's console.

Bounded whatever clients ask for: of the routes the first, of the resources those with most waiting
requests and most fetches, and of each URL its path and the names of its parameters. Values of
parameters may be secrets.
"""

from __future__ import annotations

from collections import Counter
from heapq import nlargest
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pushhub.origin.routes import Row
    from pushhub.origin.shared.poll_interval import PollInterval
    from pushhub.origin.shared.resource import Resource
    from pushhub.origin.shared.table import ResourceTable

# About 20 KiB of JSON for each process: the longest table that a person reads through.
MAX_ROUTES = 100
MAX_RESOURCES = 50
MAX_NOT_SHARED = 50
# Characters of a path that are shown, and parameters of a query that are named.
MAX_PATH = 200
MAX_PARAMETERS = 10


class Facts(NamedTuple):
    """The facts of one resource that only it knows. Times are on the hub's clock."""

    fetches: int
    """How often it was fetched since it is known here."""
    verified: float
    """When the origin last said that its state is current; minus infinity if that is not known."""
    pace: PollInterval
    """The pause between two fetches, and what is wrong with the origin's responses."""


class NotShared(NamedTuple):
    """How often a route's responses could not be shared for one reason, and the last example."""

    times: int
    path: str
    at: float


def report(sharing: ResourceTable) -> dict[str, Any]:
    """Routes, resources and fetches of this process, as JSON."""
    origin, hub, now = sharing.origin, sharing.hub, sharing.hub.now()
    rows = origin.routes.rows
    numbers = {id(row.route): row.index for row in rows}
    resources: Counter[int] = Counter()
    waiting: Counter[int] = Counter()
    ranked: list[tuple[int, int, int, Resource]] = []
    for order, resource in enumerate(sharing):
        here = hub.holds_on(resource.channel)
        number = numbers.get(id(resource.route), -1)
        resources[number] += 1
        waiting[number] += here
        ranked.append((here, resource.facts.fetches, order, resource))
    shown = nlargest(MAX_RESOURCES, ranked)
    not_shared = sorted(sharing.not_shared.items(), key=lambda one: -one[1].at)
    return {
        "time": round(hub.clock(), 3),
        "routes": [_route(row, resources, waiting) for row in rows[:MAX_ROUTES]],
        "routes_in_all": len(rows),
        "resources": [
            _resource(resource, here, numbers.get(id(resource.route)), now)
            for here, _, _, resource in shown
        ],
        "resources_in_all": len(ranked),
        "waiting": waiting.total(),
        "not_shared": [
            {"path": route, "why": why, "times": one.times, "last": one.path[:MAX_PATH],
             "ago": round(now - one.at, 1)}
            for (route, why), one in not_shared[:MAX_NOT_SHARED]
        ],
        "not_shared_in_all": len(not_shared),
        "bytes": sharing.size,
        "answered": {"memory": sharing.at_once, "fetch": sharing.looked},
        "notices": sharing.notices,
        "grip_held": len(origin.grip.holds) if origin.grip is not None else 0,
    }  # fmt: skip


def fetch_figures(sharing: ResourceTable) -> dict[str, int]:
    """The counters of the console's plots, since the start; and what is there now."""
    results = sharing.fetching.results
    return {
        "fetches": sum(results.values()),
        "failed": results["failed"],
        "resources": len(sharing),
        "under_way": sharing.origin.client.under_way,
    }


def _route(row: Row, resources: Counter[int], waiting: Counter[int]) -> dict[str, Any]:
    route = row.route
    shown: dict[str, Any] = {
        "route": row.index + 1,
        "host": route.host,
        "path": route.path[:MAX_PATH],
        "step": route.step,
        "target": row.target,
        "resources": resources[row.index],
        "waiting": waiting[row.index],
    }
    if route.step == "poll":
        shown |= {"interval": route.interval, "slowest": route.slowest}
    return shown


def _resource(resource: Resource, waiting: int, number: int | None, now: float) -> dict[str, Any]:
    fetches, verified, pace = resource.facts
    paced = resource.route.step == "poll" or pace.problem is not None
    path = resource.key.path
    if resource.key.query:
        names = [part.partition("=")[0] for part in resource.key.query.split("&")]
        path += "?" + "&".join(names[:MAX_PARAMETERS])
    current, known = verified > float("-inf"), resource.known
    return {
        "path": path[:MAX_PATH],
        "route": None if number is None else number + 1,
        "waiting": waiting,
        "fetches": fetches,
        "pause": round(pace.pause, 2) if paced else None,
        "fetched": round(now - verified, 1) if current else None,
        "status": None if known is None else known.status,
        "problem": "" if pace.problem is None else pace.problem.detail,
        "passes": max(0.0, round(resource.alone_until - now, 1)),
    }
