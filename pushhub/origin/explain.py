"""What would become of a request: which route it takes, and what happens there. Nothing happens.

It asks the same functions that serve requests, so that what it says is what they do.
"""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import formatdate
from typing import TYPE_CHECKING, Literal

from pushhub.http.path_pattern import readings
from pushhub.http.problem import Problem
from pushhub.origin.shared.condition import Modified, Since, Tags, Version
from pushhub.origin.shared.key import Key
from pushhub.origin.shared.wait_request import wait_request, wants_more

if TYPE_CHECKING:
    from pushhub.origin.request import ProxiedRequest
    from pushhub.origin.routes import RouteMatch, Routes, Row
    from pushhub.origin.shared.condition import WaitCondition
    from pushhub.origin.shared.wait_request import WaitRequest
    from pushhub.settings.origin import Route

Outcome = Literal["refused", "passed", "grip", "read", "at-once", "held"]


@dataclass(frozen=True, slots=True)
class Missed:
    """An earlier route, and why the request does not take it."""

    row: Row
    why: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """What becomes of a request.

    `outcome` is `refused` (a `problem` says why), `passed` (through, byte for byte), `grip` (passed
    through, and the answer decides), `read` (from the last look, for `max_age` seconds), `at-once`
    (opted in, with nothing to compare) or `held`. `because` is a sentence.
    """

    outcome: Outcome
    because: str
    missed: tuple[Missed, ...]
    row: Row | None = None
    found: RouteMatch | None = None
    wish: WaitRequest | None = None
    problem: Problem | None = None

    @property
    def is_shared(self) -> bool:
        """Whether others with the same request get the same answer from one look."""
        return self.outcome in ("read", "at-once", "held")

    def key(self, asked: ProxiedRequest) -> Key | None:
        """What makes requests the same one, where they are shared."""
        return Key(self.found, asked) if self.is_shared and self.found is not None else None


def explain(routes: Routes, asked: ProxiedRequest, max_wait: int) -> Explanation:
    """Say what would become of a request; `max_wait` is the longest wait that is granted."""
    try:
        found = routes.find(asked.host, asked.path)
    except Problem as problem:
        return _refused(routes, asked, problem)
    if found is None:
        return _refused(routes, asked, Problem("no-route", "No route matches."))
    row = next((row for row in routes.rows if row.route is found.route), None)
    missed = _missed(routes, row, asked)
    wish = None
    if row is None:
        outcome: Outcome = "passed"
        because = (
            "The path has different readings, which lead to different routes, so the request is "
            "only passed through."
        )
    else:
        wish = wait_request(found.route, asked, max_wait)
        outcome, because = _what(found.route, asked, wish)
    return Explanation(outcome, because, missed, row, found, wish)


def _refused(routes: Routes, asked: ProxiedRequest, problem: Problem) -> Explanation:
    return Explanation("refused", problem.detail, _missed(routes, None, asked), problem=problem)


def _what(route: Route, asked: ProxiedRequest, wish: WaitRequest) -> tuple[Outcome, str]:
    if route.step == "grip":
        return (
            "grip",
            "The request is passed through; if the response has a Grip-Hold, the request is held.",
        )
    if route.step == "pass":
        return "passed", "The route only passes through."
    if asked.method != "GET":
        return "passed", f"Only GET waits; {asked.method} is passed through."
    if wants_more(asked):
        return "passed", (
            "The request asks for a range, has a body, or has another condition than a comparison "
            "with the resource; so it is passed through."
        )
    if wish.wait is None:
        if route.max_age and not wish.passes:
            return "read", (
                "The request did not opt in: the response comes from a fetch of at most "
                f"{route.max_age:g} s ago, or from one shared fetch for all present requests."
            )
        return "passed", f"The request did not opt in by {_opt_ins(route)}."
    if wish.condition is None:
        return "at-once", (
            f"The request opted in without a condition ({_conditions(route)}); so the response "
            "comes immediately, with a validator."
        )
    return "held", (
        f"The response comes when the resource changes, or with {_nothing(route)} after at most "
        f"{wish.wait} s."
    )


def has(condition: WaitCondition | None) -> str:
    """What a request says that its client has; empty for nothing."""
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


def _missed(routes: Routes, taken: Row | None, asked: ProxiedRequest) -> tuple[Missed, ...]:
    """The routes before the one that is taken; all of them, if none is."""
    earlier = routes.rows if taken is None else routes.rows[: taken.index]
    return tuple(Missed(row, _why_not(row, asked)) for row in earlier)


def _why_not(row: Row, asked: ProxiedRequest) -> str:
    if not row.takes(asked.host.removesuffix(".")):
        return f"the host {asked.host or '(none)'} is not {row.route.host}"
    if any(row.pattern.values(meaning) is not None for meaning in readings(asked.path)):
        return "one reading of the path leads there, and another elsewhere"
    if row.pattern.rest is not None:
        return f"the path does not begin with {row.route.path.removesuffix('*')}"
    return f"the path is not {row.route.path}"
