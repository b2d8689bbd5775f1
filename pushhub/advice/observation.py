"""What a survey of a URL saw: its requests, and the responses to them."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING

from pushhub.origin.shared.change_rule import WHOLE, decoded_body
from pushhub.origin.shared.representation import Representation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pushhub.http.response import Headers
    from pushhub.origin.request import Pairs
    from pushhub.origin.shared.change_rule import ChangeRule


class RequestForm(StrEnum):
    """The form of a request of a survey."""

    AS_GIVEN = "as given"
    COMPRESSED = "with gzip"
    ANONYMOUS = "without credentials"
    WITHOUT_COOKIE = "without a cookie"
    CONDITIONAL = "with its validator"


@dataclass(frozen=True)
class Observation:
    """One request of a survey, and its response.

    `number` counts the requests of the survey. `clock` is the time of the response in seconds since
    1970, `at` the time since the survey began, and `seconds` the duration of the exchange. `ended`
    says whether the whole body came. `problem` is a sentence; with one, there is no response.
    `left_out` is the cookie that the request had not.
    """

    form: RequestForm
    number: int
    at: float
    clock: float
    seconds: float = 0.0
    status: int = 0
    reason: bytes = b""
    headers: Headers = ()
    body: bytes = b""
    ended: bool = True
    problem: str = ""
    left_out: str = ""

    def header(self, name: bytes) -> str:
        """The values of the headers with a lower-case name, joined; empty without one."""
        return ", ".join(self.header_values(name))

    def header_values(self, name: bytes) -> list[str]:
        """The values of the headers with a lower-case name."""
        return [value.decode("latin-1") for key, value in self.headers if key.lower() == name]

    @cached_property
    def decoded(self) -> bytes:
        """The body without its content coding."""
        return decoded_body(self.headers, self.body)

    def representation(self, rule: ChangeRule = WHOLE) -> Representation:
        """The response as a shared fetch would keep it."""
        return Representation(self.status, self.reason, self.headers, self.body, rule)

    def tag(self, rule: ChangeRule) -> str:
        """The digest of what a rule covers. The origin's own tag has no part in it."""
        return rule.tag(self.status, self.headers, self.body)


@dataclass(frozen=True)
class Survey:
    """All observations of one URL. `target` is its origin, `sent` the headers of the request."""

    target: str
    path: str
    query: str
    sent: Pairs
    observations: tuple[Observation, ...]

    def of(self, form: RequestForm) -> list[Observation]:
        """The observations of a form, in their order."""
        return [one for one in self.observations if one.form is form]

    @property
    def url(self) -> str:
        """The URL of the requests."""
        return self.target + self.path + (f"?{self.query}" if self.query else "")

    @cached_property
    def given(self) -> list[Observation]:
        """The successful responses to the request as it was given."""
        return [one for one in self.of(RequestForm.AS_GIVEN) if one.status == 200 and one.ended]

    @property
    def cookies(self) -> tuple[str, ...]:
        """The names of the cookies in the request."""
        return cookie_names(self.sent)

    @property
    def has_authorization(self) -> bool:
        """Whether the request has an `Authorization`."""
        return any(name.lower() == b"authorization" for name, _ in self.sent)

    @property
    def seconds(self) -> float:
        """The median duration of a request."""
        return statistics.median([one.seconds for one in self.given]) if self.given else 0.0

    @property
    def span(self) -> float:
        """The seconds between the first and the last response to the request as it was given."""
        return self.given[-1].at - self.given[0].at if self.given else 0.0


def cookie_names(pairs: Pairs) -> tuple[str, ...]:
    """The names of the cookies in the headers of a request, each once."""
    return tuple(dict.fromkeys(name for name, _ in _cookies(pairs)))


def without_cookie(pairs: Pairs, left_out: str) -> Pairs:
    """The headers of a request without one cookie."""
    kept = "; ".join(text for name, text in _cookies(pairs) if name != left_out)
    others = tuple(pair for pair in pairs if pair[0].lower() != b"cookie")
    return (*others, (b"Cookie", kept.encode("latin-1"))) if kept else others


def without_credentials(pairs: Pairs) -> Pairs:
    """The headers of a request without cookies and `Authorization`."""
    return tuple(pair for pair in pairs if pair[0].lower() not in (b"cookie", b"authorization"))


def _cookies(pairs: Pairs) -> Iterator[tuple[str, str]]:
    for name, value in pairs:
        if name.lower() == b"cookie":
            for part in value.decode("latin-1").split(";"):
                if text := part.strip():
                    yield text.partition("=")[0], text
