"""A dry run of routing: the route that a request takes, and how it is handled.

The dry run uses the functions that serve requests, so that it says what they do.
"""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import formatdate
from typing import TYPE_CHECKING, Literal

from pushhub.http.path_pattern import readings
from pushhub.http.problem import Problem
from pushhub.origin.shared.condition import Modified, Since, Tags, Version
from pushhub.origin.shared.key import Key

if TYPE_CHECKING:
    from pushhub.origin.request import ProxiedRequest
    from pushhub.origin.routes import RouteMatch, RouteRow, Routes
    from pushhub.origin.shared.condition import WaitCondition
    from pushhub.origin.shared.wait_request import WaitRequest
    from pushhub.settings.route import Route

Outcome = Literal["refused", "passed", "grip", "read", "at-once", "held"]


@dataclass(frozen=True, slots=True)
class SkippedRoute:
    """An earlier route, and why the request does not take it."""

    row: RouteRow
    why: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """The handling of a request.

    `outcome` is `refused` (a `problem` says why), `passed` (passed through, byte for byte), `grip`
    (passed through or held, as the response says), `read` (served from the last fetch, for
    `max_age` seconds), `at-once` (opted in, without a validator) or `held`. `because` is a
    sentence.
    """

    outcome: Outcome
    because: str
    skipped: tuple[SkippedRoute, ...]
    row: RouteRow | None = None
    match: RouteMatch | None = None
    wait_request: WaitRequest | None = None
    problem: Problem | None = None

    @property
    def is_shared(self) -> bool:
        """Whether one fetch serves all clients with the same request."""
        return self.outcome in ("read", "at-once", "held")

    def key(self, request: ProxiedRequest) -> Key | None:
        """The identity of the shared resource, where the request is for one."""
        if not self.is_shared:
            return None
        return Key(request, body=None if request.method == "GET" else b"")


def explain(routes: Routes, request: ProxiedRequest, max_wait: int) -> Explanation:
    """Explain the handling of a request, and route it. `max_wait` is the longest wait that is
    granted, in seconds.
    """
    try:
        match = routes.find(request.host, request.path)
    except Problem as problem:
        return _refused(routes, request, problem)
    if match is None:
        return _refused(routes, request, Problem("no-route", "No route leads there."))
    request.match = match
    row = next((row for row in routes.rows if row.route is match.route), None)
    skipped = _skipped(routes, row, request)
    wait_request = None
    if row is None:
        outcome: Outcome = "passed"
        because = (
            "The path has different readings, which lead to different routes, so the request is "
            "only passed through."
        )
    else:
        wait_request = request.parse_wait(max_wait)
        outcome, because = _outcome(match.route, request)
    return Explanation(outcome, because, skipped, row, match, wait_request)


def _refused(routes: Routes, request: ProxiedRequest, problem: Problem) -> Explanation:
    return Explanation("refused", problem.detail, _skipped(routes, None, request), problem=problem)


def _outcome(route: Route, request: ProxiedRequest) -> tuple[Outcome, str]:
    wait_request = request.wait_request
    if route.step == "grip":
        return "grip", "The request passes through; if the response has a Grip-Hold, it is held."
    if route.step == "pass":
        return "passed", "The route only passes through."
    if request.method not in route.methods:
        return "passed", (
            f"Only {' and '.join(route.methods)} waits; {request.method} is passed through."
        )
    if request.needs_origin:
        return "passed", (
            "The request asks for a range, has a body, or has another condition than a comparison "
            "with the resource; so it is passed through."
        )
    if wait_request.wait is None:
        if route.max_age and request.method == "GET" and not wait_request.passes:
            return "read", (
                f"The request did not opt in: the response comes from a fetch of at most "
                f"{route.max_age:g} s ago, or from a new one that other requests share."
            )
        return "passed", f"The request did not opt in by {_opt_ins(route)}."
    if wait_request.condition is None:
        return "at-once", (
            f"The request opted in without a condition ({_conditions(route)}); so the response "
            "comes immediately, with a validator."
        )
    return "held", (
        f"The response comes with the next change, or as {_nothing(route)} after at most "
        f"{wait_request.wait} s."
    )


def describe(condition: WaitCondition | None) -> str:
    """The representation that a client has, by its request; empty for none."""
    match condition:
        case Tags(tags):
            return "If-None-Match: " + ", ".join(
                tag if tag == "*" else f'"{tag}"' for tag in sorted(tags)
            )
        case Since(cursor):
            return f"the cursor {cursor!r}"
        case Modified(since):
            return "If-Modified-Since: " + formatdate(since, usegmt=True)
        case Version(version):
            return f"the version {version!r}"
        case _:
            return ""


def _opt_ins(route: Route) -> str:
    unit = "25000" if route.timeout_unit == "ms" else "25"
    forms = {
        "prefer": "Prefer: wait=25",
        "wait": "Wait: 25",
        "wait-param": "?wait=25",
        "timeout-param": f"?timeout={unit}",
    }
    return " or ".join(forms[name] for name in route.opt_in)


def _conditions(route: Route) -> str:
    if route.cursor == "etag":
        return "If-None-Match or If-Modified-Since"
    return f"?{route.since_param}=, If-None-Match or If-Modified-Since"


def _nothing(route: Route) -> str:
    return "the same response again" if route.nothing == "same" else route.nothing


def _skipped(
    routes: Routes, taken: RouteRow | None, request: ProxiedRequest
) -> tuple[SkippedRoute, ...]:
    """The routes before the one that is taken; all of them, if none is."""
    earlier = routes.rows if taken is None else routes.rows[: taken.index]
    return tuple(SkippedRoute(row, _why_not(row, request)) for row in earlier)


def _why_not(row: RouteRow, request: ProxiedRequest) -> str:
    if not row.matches_host(request.host.removesuffix(".")):
        return f"the host {request.host or '(none)'} is not {row.route.host}"
    if any(row.pattern.values(segments) is not None for segments in readings(request.path)):
        return "one reading of the path leads there, and another elsewhere"
    if row.pattern.rest is not None:
        return f"the path does not begin with {row.route.path.removesuffix('*')}"
    return f"the path is not {row.route.path}"
