"""The pace of the fetches of one node at one origin, and the resources that wait for their turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pushhub.origin.shared.fetch_budget import Budget
from pushhub.origin.shared.fetch_tokens import FetchTokens

if TYPE_CHECKING:
    from collections.abc import Callable

NO_DEMAND = Budget(0.0, 0.0, 0.0, 0)


class PacedResource(Protocol):
    """A resource whose fetches are paced."""

    @property
    def has_waiters(self) -> bool:
        """Whether a request waits on it."""

    def fetch_in_turn(self) -> None:
        """Fetch: there is a token for it."""

    def expire(self) -> None:
        """The pause has ended, and no request waits any more."""


class OriginPace:
    """The tokens of one node for one origin, and a queue of due resources, the oldest first.

    A resource that is due enters the queue only after its last fetch, so each resource has its turn
    once a round, however many are due.
    """

    __slots__ = ("_hurry", "_queue", "budget", "tokens")

    def __init__(self, rate: float, now: float, hurry: Callable[[], None]) -> None:
        self.tokens = FetchTokens(rate, now)
        self.budget = NO_DEMAND
        self._queue: dict[PacedResource, None] = {}
        self._hurry = hurry

    @property
    def interval(self) -> float:
        """The shortest interval of all resources of the origin; 0 while it is not stretched."""
        return self.budget.interval

    def admit(self, resource: PacedResource, now: float) -> bool:
        """Whether a due resource may be fetched now; else it waits for its turn."""
        if not self._queue and self.tokens.take(now):
            return True
        self._queue[resource] = None
        self._hurry()
        return False

    def remove(self, resource: PacedResource) -> None:
        """Take a resource off the queue, if it is there."""
        self._queue.pop(resource, None)

    def is_queued(self, resource: PacedResource) -> bool:
        """Whether a resource waits for its turn."""
        return resource in self._queue

    def dispatch(self, now: float) -> None:
        """Fetch the resources whose turn it is."""
        while self._queue:
            resource = next(iter(self._queue))
            if not resource.has_waiters:
                del self._queue[resource]
                resource.expire()
            elif self.tokens.take(now):
                del self._queue[resource]
                resource.fetch_in_turn()
            else:
                return

    def __len__(self) -> int:
        return len(self._queue)

    def __repr__(self) -> str:
        return f"<OriginPace {len(self)} queued, {self.tokens!r}>"
