"""The part of cookies in a response: which ones it depends on, and which ones it sets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pushhub.advice.observation import RequestForm

if TYPE_CHECKING:
    from pushhub.advice.observation import Observation, Survey
    from pushhub.origin.shared.change_rule import ChangeRule

# Names that frameworks give to a session (Django, PHP, Java, ASP.NET, Express, Rails, Laravel). One
# of these counts even if it changed nothing: the basket of a new session is empty, too.
_FORGERY = re.compile(r"(?i)csrf|xsrf")
_SESSION = re.compile(
    r"(?i)sess|(?:^|[._-])s?id(?:$|[._-])|auth|token|jwt|login|remember|account|user"
)
_SET_NAME = re.compile(r"[^=;,\s]{1,128}")


@dataclass(frozen=True, slots=True)
class CookieFindings:
    """`changing` cookies change the response, `untried` ones were always sent, `sessions` are named
    like a session, and `idle` ones do nothing. `renewed` are set by responses and belong to no
    session; `opened` are sessions that responses set.
    """

    changing: tuple[str, ...]
    untried: tuple[str, ...]
    sessions: tuple[str, ...]
    idle: tuple[str, ...]
    renewed: tuple[str, ...]
    opened: tuple[str, ...]


def cookie_findings(survey: Survey, rule: ChangeRule) -> CookieFindings:
    """The part of each cookie. The rule says which responses are the same."""
    without = survey.of(RequestForm.WITHOUT_COOKIE)
    tried = {one.left_out for one in without}
    changing = [name for name in survey.cookies if _changes(survey, rule, name)]
    untried = [name for name in survey.cookies if name not in tried]
    others = [name for name in survey.cookies if name not in (*changing, *untried)]
    sessions = [name for name in others if is_session(name)]
    idle = [name for name in others if name not in sessions]
    set_names = dict.fromkeys(
        found[0]
        # A shared fetch sends no idle cookie, so the response may set it again.
        for one in (*survey.given, *(one for one in without if one.left_out in idle))
        for value in one.header_values(b"set-cookie")
        if (found := _SET_NAME.match(value.strip()))
    )
    return CookieFindings(
        tuple(changing),
        tuple(untried),
        tuple(sessions),
        tuple(idle),
        tuple(name for name in set_names if not is_session(name)),
        tuple(name for name in set_names if is_session(name)),
    )


def is_session(name: str) -> bool:
    """Whether a cookie is named like one that identifies its user."""
    return _FORGERY.search(name) is None and _SESSION.search(name) is not None


def needs_credentials(survey: Survey, rule: ChangeRule) -> bool | None:
    """Whether the response differs without all credentials; None if that was not tried."""
    bare = survey.of(RequestForm.ANONYMOUS)
    return any(_differs(survey, rule, one) for one in bare) if bare else None


def _changes(survey: Survey, rule: ChangeRule, name: str) -> bool:
    without = [one for one in survey.of(RequestForm.WITHOUT_COOKIE) if one.left_out == name]
    return bool(without) and all(_differs(survey, rule, one) for one in without)


def _differs(survey: Survey, rule: ChangeRule, other: Observation) -> bool:
    """Whether a response differs from those to the whole request just before and after it."""
    before = [one for one in survey.given if one.number < other.number][-1:]
    after = [one for one in survey.given if one.number > other.number][:1]
    # What is not known counts as a difference: too many resources cost less than a wrong response.
    return bool(other.problem) or all(one.tag(rule) != other.tag(rule) for one in (*before, *after))
