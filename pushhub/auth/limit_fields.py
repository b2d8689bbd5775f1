"""The refusal by a limit, and the header fields that describe limits
(draft-ietf-httpapi-ratelimit-headers-11).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from pushhub.http.problem import Problem, retry_after
from pushhub.http.rate_limit_fields import rate_limit_fields
from pushhub.settings.limits import number

if TYPE_CHECKING:
    from pushhub.http.response import Headers
    from pushhub.settings.limits import LimitSpec

# Clients that were refused together do not all return together: up to this part later, never
# earlier, since an early one would be refused again.
JITTER = 0.2
# Seconds after which a number may be smaller. Nothing tells when a hold or a session ends.
COUNT_SECONDS = 5

# Units that the draft names (§3.1.1); all others are ours, and a key of ours.
_UNITS = {"requests": "", "bytes": "content-bytes"}


class LimitRefusal(NamedTuple):
    """The result of a check that did not pass."""

    name: str
    spec: LimitSpec
    seconds: int
    """Whole seconds until the next try, rounded up."""
    remaining: int = 0
    key: str = ""
    """The client: a network, a subject, or the name of a key."""

    def problem(self) -> Problem:
        """The response: 429 (RFC 6585 §4) that names the limit."""
        spec = self.spec
        most = spec.most if spec.is_count else spec.burst
        amount = f"{spec.most:,}" if spec.is_count else f"{number(spec.rate)} a second"
        problem = Problem(
            "too-many-requests",
            f"The limit {self.name} is reached: {spec.what}, at most {amount} for one"
            f" {spec.scope}. Wait for Retry-After. The setting is limits.{self.name}.",
            headers=(
                retry_after(self.seconds),
                *policy_fields(self.name, spec, self.remaining, self.seconds),
            ),
            policy=self.name,
            limit=int(most),
        )
        problem.limited = (self.name, spec.scope, self.key)
        return problem


def policy_fields(name: str, spec: LimitSpec, remaining: int, seconds: int) -> Headers:
    """`RateLimit-Policy` and `RateLimit` of one limit. `seconds` until more is allowed."""
    if spec.is_count:
        return rate_limit_fields(name, spec.most, _count_unit(spec), remaining, seconds)
    window = max(1, math.ceil(spec.burst / spec.rate))
    unit = _UNITS.get(spec.unit, spec.unit)
    return rate_limit_fields(name, int(spec.burst), unit, remaining, seconds, window)


def _count_unit(spec: LimitSpec) -> str:
    return "concurrent-requests" if spec.unit == "requests" else spec.unit
