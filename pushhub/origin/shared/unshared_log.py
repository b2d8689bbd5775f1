"""Warnings about resources that cannot be shared or published, counted by route and reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import structlog

from pushhub.origin.shared.body_difference import differing
from pushhub.origin.shared.change_rule import decoded_body

if TYPE_CHECKING:
    from pushhub.hub.hub import Hub
    from pushhub.origin.shared.key import Key
    from pushhub.origin.shared.representation import Representation
    from pushhub.settings.route import Route

log = structlog.get_logger(__name__)

# The log repeats a warning once an hour for each route and reason.
LOG_SECONDS = 3600.0
# The reason in the counts of a resource that is always new.
ALWAYS_NEW = "every response is new"


class UnsharedCount(NamedTuple):
    """How often a route's responses could not be shared for one reason, and the last example."""

    times: int
    path: str
    at: float


class UnsharedLog:
    """The warnings of one process: a few entries for each route."""

    __slots__ = ("_hub", "_logged", "always_new_fetches", "counts", "differing", "stalls")

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.counts: dict[tuple[str, str], UnsharedCount] = {}
        """By a route's path and the reason."""
        self.differing: dict[str, str] = {}
        """What differed in the last example of a resource that is always new, by a route's path."""
        self.stalls = 0
        """Fetches whose retries made no progress, and were given up."""
        self.always_new_fetches = 0
        """Fetches that found a change, of resources for which every fetch finds one."""
        # When each warning was last logged.
        self._logged: dict[tuple[str, str], float] = {}

    def unshareable(self, key: Key, route: Route, reason: str) -> None:
        """Warn that a response is for one client only. Without the warning an operator would not
        know why clients poll at their old interval.
        """
        self._warn("origin.not-shared", route, key, reason)

    def stalled(self, key: Key, route: Route, reason: str) -> None:
        """Warn that the retries of a fetch make no progress and are given up. The next fetch comes
        after the pause of a failed one.
        """
        self.stalls += 1
        self._warn("origin.stalled", route, key, reason)

    def always_new(
        self, key: Key, route: Route, before: Representation, after: Representation
    ) -> None:
        """Warn that every fetch of a resource finds a change, and name what differs: a wait for it
        is useless, and its clients keep their old interval.
        """
        self.always_new_fetches += 1
        if self._count(route, key, ALWAYS_NEW):
            what = differing(
                decoded_body(before.headers, before.body), decoded_body(after.headers, after.body)
            )
            self.differing[route.path] = what
            log.warning(
                "origin.always_new",
                route=route.path,
                path=key.path,
                differs=what,
                do="add these parts to the route's 'ignore'",
            )

    def _warn(self, event: str, route: Route, key: Key, reason: str) -> None:
        if self._count(route, key, reason):
            log.warning(event, route=route.path, path=key.path, why=reason)

    def _count(self, route: Route, key: Key, reason: str) -> bool:
        """Count a warning; whether it is to be logged."""
        now, entry = self._hub.now(), (route.path, reason)
        count = self.counts.get(entry)
        self.counts[entry] = UnsharedCount(1 + (count.times if count else 0), key.path, now)
        if now - self._logged.get(entry, float("-inf")) < LOG_SECONDS:
            return False
        self._logged[entry] = now
        return True
