"""How often a resource is looked at: at its interval; more slowly while it does not change, where
the route says so; and more slowly still while the origin cannot say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.http.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.origin.shared.fetcher import FetchFailed
    from pushhub.settings.origin import Route

# How much longer the pause gets after each look that found nothing new.
SLOWER = 1.5
# A look is fresh for a bit longer than the pause to the next: that one is under way, perhaps.
FRESH = 1.5
# The first pause after another node has published first, which doubles: a store's round trip is
# over by then, and a client does not notice.
RETRY_SECONDS = 0.1
# After so many in a row (6 s) it is no race any more, but something that does not get on.
MAX_RETRIES = 6
# The longest pause of a backoff, unless the route's slowest is longer: an origin that restarts is
# back within a minute.
MAX_BACKOFF_SECONDS = 60.0


class PollInterval:
    """The pause between two looks, in seconds; and what is wrong, if something is."""

    __slots__ = ("_errors", "_interval", "_retries", "_slowest", "_uniform", "pause", "problem")

    def __init__(self, route: Route, uniform: Callable[[float, float], float]) -> None:
        self._interval = route.interval
        self._slowest = route.longest_pause
        self._uniform = uniform
        self._errors = 0
        self._retries = 0
        self.pause = route.interval
        self.problem: Problem | None = None

    @property
    def freshness(self) -> float:
        """For how many seconds a look counts as the truth."""
        return self.pause * FRESH

    @property
    def retries(self) -> bool:
        """Whether another look is due after the pause, even if no notification comes."""
        return self.problem is not None or self._retries > 0

    def settled(self, *, changed: bool, paced: bool) -> None:
        """A look has found the truth. Only looks that were due by the pace, `paced`, say how often
        the resource changes; those that requests and notifications caused do not slow it down.
        """
        recovered = self.retries
        self._errors, self._retries, self.problem = 0, 0, None
        if changed or recovered:
            self.pause = self._interval
        elif paced:
            self.pause = max(min(self.pause * SLOWER, self._slowest), self._interval)

    def contested(self) -> bool:
        """Another node has published first, and only the origin knows which of the two is newer:
        look again soon. False if that has happened too often in a row.
        """
        self._retries += 1
        longest = RETRY_SECONDS * 2.0**self._retries
        self.pause = self._uniform(longest / 2, longest)
        return self._retries <= MAX_RETRIES

    def failed(self, failed: FetchFailed) -> Problem:
        """A look has failed; what to tell of it. The pause is drawn at random, so that nodes and
        resources do not come back together.
        """
        self._errors += 1
        longest = max(self._slowest, MAX_BACKOFF_SECONDS)
        backoff = min(self._interval * 2.0 ** min(self._errors, 32), longest)
        self.pause = max(self._uniform(backoff / 2, backoff), failed.retry_after)
        self.problem = failed.problem or Problem(
            "bad-gateway", "The origin responded with an error; try later."
        )
        return self.problem

    def __repr__(self) -> str:
        return f"<Pace {self.pause:g} s, {self._errors} errors>"
