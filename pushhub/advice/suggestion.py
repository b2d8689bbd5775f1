"""A suggestion: a route for a surveyed URL, with the reason for each line."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pushhub.advice.change_advice import change_advice
from pushhub.advice.cookies import cookie_findings, needs_credentials
from pushhub.advice.cursors import cursor_options
from pushhub.advice.observation import RequestForm
from pushhub.advice.refusal import refusal
from pushhub.advice.suggested_line import SuggestedLine
from pushhub.http.accept import directives
from pushhub.origin.shared.fetcher import shareable_vary
from pushhub.origin.shared.key import vary_of
from pushhub.origin.shared.representation import MAX_BODY_BYTES
from pushhub.settings.route import COOKIE_NAME, MAX_NAMES

if TYPE_CHECKING:
    from pushhub.advice.observation import Observation, Survey
    from pushhub.origin.shared.change_rule import ChangeRule

# A response that takes longer is expensive for the API; then fetches take a quarter of its time.
SLOW_SECONDS = 0.25
_FETCH_SHARE = 0.25
# The bound of an interval that an API's own limit of requests gives.
MAX_INTERVAL = 3600
_NUMBER = re.compile(r"\d{1,12}")
_ID = re.compile(r"\d+|[0-9a-f]{16,}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_STREAMED = ("text/event-stream", "multipart/x-mixed-replace", "application/x-ndjson")


@dataclass(slots=True)
class Suggestion:
    """A route for one URL.

    `lines` are options besides path and step. `facts` are sentences that lead to no line, and
    `unshared` says why clients cannot share responses; empty if they can. `always_new` says that
    data differed in each response, and `personal` that each user has a resource of their own. With
    a `problem` there is no route.
    """

    survey: Survey
    path: str = ""
    step: str = "poll"
    lines: list[SuggestedLine] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)
    unshared: str = ""
    always_new: bool = False
    personal: bool = False
    problem: str = ""

    @property
    def options(self) -> dict[str, Any]:
        """The active options, as a route takes them."""
        active = {line.option: line.value for line in self.lines if line.active}
        return {"path": self.path, "step": self.step, **active}

    def add(self, option: str, value: Any, reason: str, *, active: bool = True) -> None:
        """Add a line."""
        self.lines.append(SuggestedLine(option, value, reason, active))


def suggest(survey: Survey) -> Suggestion:
    """Suggest a route for a surveyed URL."""
    suggestion = Suggestion(survey)
    suggestion.problem = refusal(survey)
    if suggestion.problem:
        return suggestion
    suggestion.path = _path(survey, suggestion)
    if unshared := _never_shared(survey):
        suggestion.step, suggestion.unshared = "pass", unshared
        return suggestion
    advice = change_advice(survey)
    suggestion.lines += advice.lines
    suggestion.facts += advice.facts
    suggestion.always_new = advice.always_new
    _identity(survey, suggestion, advice.rule)
    _interval(survey, suggestion)
    for option, value in cursor_options(survey).items():
        suggestion.add(option, value, "the URL has a cursor")
    _sharing(survey, suggestion)
    return suggestion


def _path(survey: Survey, suggestion: Suggestion) -> str:
    """The path of the route: `{id}` stands for a segment that is an id."""
    segments, names = survey.path.split("/"), 0
    for number, segment in enumerate(segments):
        if _ID.fullmatch(segment):
            names += 1
            segments[number] = "{id}" if names == 1 else f"{{id{names}}}"
            suggestion.facts.append(f"{segment} is taken for an id: the route is for all of them.")
    return "/".join(segments)


def _never_shared(survey: Survey) -> str:
    """The reason why no client can wait on the URL at all; empty if there is none."""
    # `refusal` has seen that there is one.
    one = next(one for one in survey.of(RequestForm.AS_GIVEN) if one.status == 200)
    kind = one.header(b"content-type").partition(";")[0].strip().lower()
    if kind in _STREAMED:
        return f"The response is a stream ({kind}), which is live already."
    if not one.ended:
        if len(one.body) > MAX_BODY_BYTES:
            return (
                f"The body is larger than {MAX_BODY_BYTES:,} bytes, the most that is shared; ask "
                "for less of it, such as a page or fewer fields."
            )
        return "The response did not end: it is a stream, or a long-poll already."
    if vary_of(one.header(b"vary")) is None:
        return "'Vary: *' says that no two requests are alike."
    return ""


def _identity(survey: Survey, suggestion: Suggestion, rule: ChangeRule) -> None:
    """Who shares: cookies by name, and cookies that responses set."""
    findings = cookie_findings(survey, rule)
    counted = (*findings.changing, *findings.untried, *findings.sessions)
    suggestion.personal = survey.has_authorization or bool(counted)
    if suggestion.always_new and suggestion.personal:
        suggestion.facts.append(
            "Whether credentials change the response is not known, because each response differs: "
            "all of them count."
        )
        return
    needed = needs_credentials(survey, rule)
    # With `authorization` there is room for one name less.
    can_name = _can_name(counted, MAX_NAMES - 1)
    if can_name and len(counted) < len(survey.cookies):
        reasons = []
        if findings.changing:
            reasons.append(f"{_listed(findings.changing)} {_verb(findings.changing)} the response")
        if findings.untried:
            reasons.append(f"{_listed(findings.untried)} could not be tried")
        if findings.sessions:
            reasons.append(f"{_listed(findings.sessions)} is named like a session")
        reasons.append(f"{_listed(findings.idle)} changed nothing, and would split the clients")
        named = [f"cookie:{name}" for name in counted]
        suggestion.add("identity", ["authorization", *named], "; ".join(reasons))
    elif survey.cookies:
        suggestion.facts.append(f"Each cookie counts: {_listed(survey.cookies)}.")
    if needed is False:
        suggestion.add(
            "identity", [], "the response is the same without credentials; take this line if it is "
            "so for all users, and all of them share one fetch", active=False,
        )  # fmt: skip
    elif needed:
        suggestion.facts.append(
            "Without credentials the response differs: each user has a resource of their own."
        )
    elif not survey.cookies and not survey.has_authorization:
        suggestion.facts.append(
            "No credentials were given; if clients send some, give them with -H."
        )
    if findings.renewed and not _can_name(findings.renewed, MAX_NAMES):
        suggestion.unshared = (
            "The response sets more cookies, or stranger ones, than a route can name: "
            f"{_listed(findings.renewed)}."
        )
    elif findings.renewed:
        suggestion.add(
            "drop_set_cookie", list(findings.renewed),
            f"each response sets {_listed(findings.renewed)}; without that line none is shared",
        )  # fmt: skip
    if findings.opened:
        suggestion.unshared = (
            f"The response sets {_listed(findings.opened)}, which is named like a session, so it "
            "is for one client. Log in first, and give the cookie with -H 'Cookie: …'."
        )


def _interval(survey: Survey, suggestion: Suggestion) -> None:
    last = survey.given[-1]
    if _NUMBER.fullmatch(text := last.header(b"x-poll-interval")):
        value = min(max(1, int(text)), MAX_INTERVAL)
        suggestion.add("interval", value, "the API's own X-Poll-Interval")
        return
    seconds = survey.seconds
    if (allowed := _seconds_per_request(last)) > 1:
        suggestion.add(
            "interval", min(math.ceil(allowed), MAX_INTERVAL),
            f"the API allows a request every {allowed:.1f} s ({_limit_of(last)} in its window)",
        )  # fmt: skip
    elif seconds > SLOW_SECONDS:
        suggestion.add(
            "interval", math.ceil(seconds / _FETCH_SHARE), f"a response takes {seconds:.1f} s"
        )


def _seconds_per_request(one: Observation) -> float:
    """What the API's own limit leaves for each request; 0 without a limit."""
    left = one.header(b"x-ratelimit-remaining") or one.header(b"ratelimit-remaining")
    reset = one.header(b"x-ratelimit-reset") or one.header(b"ratelimit-reset")
    if not _NUMBER.fullmatch(left) or not _NUMBER.fullmatch(reset):
        return 0.0
    # Seconds since 1970 at GitHub, seconds from now on in the standard's drafts.
    seconds = float(reset) - (one.clock if int(reset) > 1_000_000_000 else 0.0)
    return max(0.0, seconds) / max(1, int(left))


def _limit_of(one: Observation) -> str:
    return one.header(b"x-ratelimit-limit") or one.header(b"ratelimit-limit") or "a limit"


def _sharing(survey: Survey, suggestion: Suggestion) -> None:
    """What the headers say of sharing."""
    last = survey.given[-1]
    headers = tuple(pair for pair in last.headers if pair[0].lower() != b"set-cookie")
    personal = bool(survey.cookies) or survey.has_authorization
    vary = shareable_vary(headers, personal=personal)
    if isinstance(vary, str):
        suggestion.unshared = suggestion.unshared or (
            f"Not without credentials: {vary}. Give those of a client with -H."
        )
    elif more := sorted(vary - {"accept", "accept-language", "authorization", "cookie", "origin"}):
        suggestion.facts.append(
            f"'Vary' names {', '.join(more)}: each value has fetches of its own."
        )
    if "no-store" in directives(last.header(b"cache-control")):
        suggestion.facts.append(
            "'no-store' keeps the response from caches; clients that wait at one time share it."
        )


def _can_name(names: tuple[str, ...], most: int) -> bool:
    """Whether a route's settings take all of these cookies."""
    return len(names) <= most and all(map(COOKIE_NAME.fullmatch, names))


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "no cookie"


def _verb(names: tuple[str, ...]) -> str:
    return "changes" if len(names) == 1 else "change"
