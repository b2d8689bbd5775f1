"""Publishes on their way to the store: counts their results, and measures their time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.store.base import Appended, NamespaceFull, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.hub.health import Health
    from pushhub.hub.stats import Stats
    from pushhub.store.base import Append, Outcome, Store


class Publishing:
    """The publishes that the store has not settled yet."""

    __slots__ = ("_begun", "_count", "_health", "_now", "_stats", "_store")

    def __init__(
        self, store: Store, stats: Stats, health: Health, now: Callable[[], float]
    ) -> None:
        self._health = health
        self._store = store
        self._stats = stats
        self._now = now
        self._count = 0
        # Number → when it was begun, oldest first.
        self._begun: dict[int, float] = {}

    def publish(self, appends: list[Append], done: Callable[[list[Outcome]], None]) -> None:
        """Append events; `done` gets their outcomes, in order, when the store has settled all."""
        self._count = number = self._count + 1
        self._begun[number] = begun = self._now()

        def settled(outcomes: list[Outcome]) -> None:
            del self._begun[number]
            self._stats.append_seconds.observe(self._now() - begun)
            for outcome in outcomes:
                self._tally(outcome)
            self._health.wrote(appends, outcomes)
            done(outcomes)

        self._store.append(appends, settled)

    def lag(self) -> float:
        """The seconds that the oldest publish has waited for the store."""
        oldest = next(iter(self._begun.values()), None)
        return 0.0 if oldest is None else self._now() - oldest

    def _tally(self, outcome: Outcome) -> None:
        stats = self._stats
        if isinstance(outcome, Appended):
            if outcome.duplicate:
                stats.publish_duplicate += 1
            else:
                stats.publish_ok += 1
        elif isinstance(outcome, StoreError) and not isinstance(outcome, NamespaceFull):
            stats.publish_failed += 1
        else:
            stats.publish_refused += 1
