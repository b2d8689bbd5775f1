"""The pause between two fetches of a resource.

The pause is the route's interval. It grows while the resource does not change, if the route says
so, and is a random exponential backoff while fetches fail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.http.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.origin.shared.fetcher import FetchFailed
    from pushhub.settings.route import Route

# The factor of the pause after each fetch without a change.
SLOWER = 1.5
# So many scheduled fetches in a row, each with a change, and no fetch without one: the resource is
# always new, such as one with a time in its body. An API that changes each second for so long
# gains nothing from a wait either.
ALWAYS_NEW = 10
# The pause of such a resource: an interval of clients that poll.
ALWAYS_NEW_SECONDS = 5.0
# A fetch is fresh for somewhat longer than the pause: the next one may be in flight.
FRESH = 1.5
# The first pause after another node has published first, which doubles: a store's round trip is
# over by then, and a client does not notice.
RETRY_SECONDS = 0.1
# So many conflicts in a row (6 s) are no race between nodes, but a fault that stays.
MAX_RETRIES = 6
# The longest pause of a backoff, unless the route's slowest is longer: an origin that restarts is
# back within a minute.
MAX_BACKOFF_SECONDS = 60.0


class PollInterval:
    """The adaptive pause between two fetches, in seconds, and the `problem` of the last one."""

    __slots__ = (
        "_changes",
        "_conflicts",
        "_errors",
        "_interval",
        "_slowest",
        "_uniform",
        "pause",
        "problem",
    )

    def __init__(self, route: Route, uniform: Callable[[float, float], float]) -> None:
        self._interval = route.interval
        self._slowest = route.longest_pause
        self._uniform = uniform
        self._errors = 0
        self._conflicts = 0
        # Changes that scheduled fetches found, since the last fetch without one.
        self._changes = 0
        self.pause = route.interval
        self.problem: Problem | None = None

    def freshness(self, stretched: float) -> float:
        """The seconds for which a fetched representation counts as current, while the pause is at
        least `stretched`.
        """
        return max(self.pause, stretched) * FRESH

    @property
    def is_retrying(self) -> bool:
        """Whether a fetch is due after the pause even without a notification."""
        return self.problem is not None or self._conflicts > 0

    def is_always_new(self, more: int = 0) -> bool:
        """Whether every one of the last scheduled fetches found a change, and so many `more`."""
        return self._changes + more >= ALWAYS_NEW

    def succeeded(self, *, changed: bool, scheduled: bool) -> None:
        """Adapt to a fetch that found the current state. Only `scheduled` fetches measure how often
        the resource changes; those caused by requests and notifications do not slow it down.
        """
        recovered = self.is_retrying
        self._errors, self._conflicts, self.problem = 0, 0, None
        self._changes = self._changes + scheduled if changed else 0
        if self.is_always_new():
            self.pause = max(self._interval, ALWAYS_NEW_SECONDS)
        elif changed or recovered or self.pause > self._slowest:
            self.pause = self._interval
        elif scheduled:
            self.pause = max(min(self.pause * SLOWER, self._slowest), self._interval)

    def conflicted(self) -> bool:
        """Retry soon: another node has published first, and only the origin knows which state is
        newer. False if that has happened too often in a row.
        """
        self._conflicts += 1
        longest = RETRY_SECONDS * 2.0**self._conflicts
        self.pause = self._uniform(longest / 2, longest)
        return self._conflicts <= MAX_RETRIES

    def failed(self, failed: FetchFailed) -> Problem:
        """Back off after a failed fetch, and return the error for its waiters. The pause is random,
        so that nodes and resources do not retry together.
        """
        self._errors += 1
        longest = max(self._slowest, MAX_BACKOFF_SECONDS)
        backoff = min(self._interval * 2.0 ** min(self._errors, 32), longest)
        self.pause = max(self._uniform(backoff / 2, backoff), failed.retry_after)
        self.problem = failed.problem or Problem(
            "bad-gateway", "The origin responded with an error; try later."
        )
        return self.problem

    def hastened(self, planned: float, verified: float, before: float, after: float) -> float:
        """The time of a fetch that is planned, when the least pause has become `after` instead of
        `before`. `verified` is the time of the last good fetch.
        """
        pause = max(self.pause, after)
        due = planned - (max(self.pause, before) - pause)
        # The plan may be older than `before`. After a failure the pause counts from the failure.
        earliest = due if self.is_retrying else verified + pause
        return min(planned, max(due, earliest))

    def __repr__(self) -> str:
        return f"<PollInterval {self.pause:g} s, {self._errors} errors>"
