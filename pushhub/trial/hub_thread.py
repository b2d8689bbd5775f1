"""The hub of a trial, with the figures of its origin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pushhub.server.hub_thread import HubThread
from pushhub.settings import Route, Settings

if TYPE_CHECKING:
    from pushhub.origin.shared.table import ResourceTable


class TrialHub(HubThread):
    """A hub in front of one origin, with one route, on a free port of this machine, in memory."""

    def __init__(self, target: str, options: dict[str, Any]) -> None:
        super().__init__(
            Settings(
                origin=target,
                routes=[Route.model_validate(options)],
                host="127.0.0.1",
                port=0,
                store="memory://",
                drain_delay=0,
                drain_seconds=0,
                access_log=False,
            )
        )

    @property
    def fetches(self) -> int:
        """The shared fetches of the hub."""
        return sum(self._table.fetcher.results.values())

    @property
    def served(self) -> int:
        """The requests that were held or completed for a shared resource."""
        return self._table.served_from_memory + self._table.served_after_fetch

    def unshared(self) -> dict[str, int]:
        """Why responses could not be shared, and how often."""
        counts = dict(self._table.unshared.counts)
        return {reason: count.times for (_, reason), count in counts.items()}

    @property
    def _table(self) -> ResourceTable:
        # Not by its truth: an empty table is false.
        assert self.app.origin is not None
        assert self.app.origin.resources is not None
        return self.app.origin.resources
