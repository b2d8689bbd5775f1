"""How often a resource is looked at: fast while it changes, slowly while it does not, and more
slowly still while the origin cannot say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.protocol.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.origin.fetching import Failed
    from pushhub.settings.origin import Route

# How much longer the pause gets after each look that found nothing new.
SLOWER = 1.5
# A look is fresh for a bit longer than the pause to the next: that one is under way, perhaps.
FRESH = 1.5
# The longest pause of a backoff, unless the route's slowest is longer: an origin that restarts is
# back within a minute.
MAX_BACKOFF_SECONDS = 60.0


class Pace:
    """The pause between two looks, in seconds; and what is wrong, if something is."""

    __slots__ = ("_errors", "_interval", "_slowest", "_uniform", "pause", "problem")

    def __init__(self, route: Route, uniform: Callable[[float, float], float]) -> None:
        self._interval = route.interval
        self._slowest = route.slowest
        self._uniform = uniform
        self._errors = 0
        self.pause = route.interval
        self.problem: Problem | None = None

    @property
    def freshness(self) -> float:
        """For how many seconds a look counts as the truth."""
        return self.pause * FRESH

    def settled(self, *, changed: bool) -> None:
        """A look has found the truth."""
        self._errors, self.problem = 0, None
        slower = min(self.pause * SLOWER, self._slowest)
        self.pause = self._interval if changed else max(slower, self._interval)

    def failed(self, failed: Failed) -> Problem:
        """A look has failed; what to tell of it. The pause is drawn at random, so that nodes and
        resources do not come back together.
        """
        self._errors += 1
        longest = max(self._slowest, MAX_BACKOFF_SECONDS)
        backoff = min(self._interval * 2.0 ** min(self._errors, 32), longest)
        self.pause = max(self._uniform(backoff / 2, backoff), failed.retry_after)
        self.problem = failed.problem or Problem(
            "bad-gateway", "The origin answered with an error, and may do better later."
        )
        return self.problem

    def __repr__(self) -> str:
        return f"<Pace {self.pause:g} s, {self._errors} errors>"
