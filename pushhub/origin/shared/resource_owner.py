"""The table of resources, as one resource uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from pushhub.http.problem import Problem
    from pushhub.http.response import Response
    from pushhub.hub.hub import Hub
    from pushhub.origin.shared.fetch_claims import FetchClaims
    from pushhub.origin.shared.fetcher import Fetcher
    from pushhub.origin.shared.key import Key
    from pushhub.origin.shared.origin_pace import OriginPace
    from pushhub.origin.shared.resource import Resource
    from pushhub.origin.shared.turn_clock import TurnClock
    from pushhub.origin.shared.unshared_log import UnsharedLog
    from pushhub.settings.route import Route


class ResourceOwner(Protocol):
    """The table of resources, as a resource uses it: collaborators, counters and decisions that
    concern several resources.
    """

    hub: Hub
    uniform: Callable[[float, float], float]
    refuse: Callable[[Problem], Response]
    fetcher: Fetcher
    claims: FetchClaims
    turns: TurnClock
    unshared: UnsharedLog
    size: int
    served_from_memory: int
    served_after_fetch: int

    def pace_at(self, target: str) -> OriginPace:
        """The pace of the fetches at an origin."""

    def spawn(self, work: Coroutine[None, None, None]) -> object:
        """Run a coroutine in a task of its own."""

    def learn_vary(self, key: Key, route: Route, names: frozenset[str]) -> bool:
        """Record the headers that a resource varies by; whether they are not part of its key."""

    def end_waits(self, resource: Resource) -> None:
        """End the waits on a resource, on all nodes."""

    def forget(self, resource: Resource) -> None:
        """Remove a resource."""
