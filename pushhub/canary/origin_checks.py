"""The checks of the origin: a resource of each route that names one, through the hub's own proxy.

Each is two GETs: a plain one, and for a route that polls or is notified one that opts in to a wait.
They write nothing, and go through the shared fetches and their budget as those of clients do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.canary.check import CanaryFailure
from pushhub.canary.client import CanaryClient, CanaryResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pushhub.canary.client import Dial
    from pushhub.settings import Settings
    from pushhub.settings.route import Route

WAITING_STEPS = ("poll", "notify")
# The shortest wait that is granted.
WAIT_SECONDS = 1


def canary_routes(settings: Settings) -> dict[str, Route]:
    """The routes that name a resource, by the names of their checks."""
    return {
        f"origin:{'' if route.host == '*' else route.host}{route.canary}": route
        for route in settings.routes
        if route.canary is not None
    }


def opted_in(route: Route, target: str) -> tuple[str, Mapping[str, str]]:
    """The target and the headers of a request that opts in to a wait, in the first form that the
    route accepts.
    """
    form, seconds = route.opt_in[0], WAIT_SECONDS
    if form == "prefer":
        return target, {"prefer": f"wait={seconds}"}
    if form == "wait":
        return target, {"wait": str(seconds)}
    if form == "wait-param":
        name, value = "wait", seconds
    else:
        name, value = "timeout", seconds * (1000 if route.timeout_unit == "ms" else 1)
    return f"{target}{'&' if '?' in target else '?'}{name}={value}", {}


class OriginCheck:
    """The check of one route."""

    def __init__(self, dial: Dial, route: Route) -> None:
        self._dial = dial
        self._route = route
        host = route.host
        # A name below the domain of `*.example.com`.
        self._host = {} if host == "*" else {"host": host.replace("*", "canary")}

    async def run(self) -> None:
        """Request the resource.

        Raises:
            CanaryFailure: the origin does not respond, or the request could not wait.
        """
        route = self._route
        assert route.canary is not None
        plain = await self._get(route.canary, {})
        if not 200 <= plain.status < 300:
            raise CanaryFailure(f"The status was {plain.status}, not 2xx.")
        if route.step not in WAITING_STEPS or "GET" not in route.methods:
            return
        waiting = await self._get(*opted_in(route, route.canary))
        if waiting.status != plain.status:
            raise CanaryFailure(
                f"With a wait the status was {waiting.status}, and without one {plain.status}."
            )
        if "preference-applied" not in waiting.headers:
            raise CanaryFailure("Requests for it cannot wait: there is no Preference-Applied.")

    async def _get(self, target: str, headers: Mapping[str, str]) -> CanaryResponse:
        client = CanaryClient(*await self._dial())
        try:
            client.send("GET", target, {**self._host, **headers})
            status = await client.receive_head()
            if client.headers.get("content-type", "").startswith("text/event-stream"):
                return CanaryResponse(status, client.headers, b"")  # It has no end.
            return await client.receive()
        finally:
            client.close()
