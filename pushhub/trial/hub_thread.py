"""A hub that runs in a thread of this process, for the time of a trial."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Self

from pushhub.app import App
from pushhub.server.server import Server
from pushhub.server.sockets import bind_one
from pushhub.settings import Route, Settings

if TYPE_CHECKING:
    from types import TracebackType

    from pushhub.origin.shared.table import ResourceTable

# A start takes half a second; the end must wait for requests that are being written.
START_SECONDS = 20.0
STOP_SECONDS = 15.0


class HubFailed(Exception):
    """The hub of the trial did not start; the message is a sentence."""


class TrialHub:
    """A hub in front of one origin, with one route, on a free port of this machine, in memory."""

    def __init__(self, target: str, options: dict[str, Any]) -> None:
        self._settings = Settings(
            origin=target,
            routes=[Route.model_validate(options)],
            host="127.0.0.1",
            port=0,
            store="memory://",
            drain_delay=0,
            drain_seconds=0,
            access_log=False,
        )
        self.app = App(self._settings)
        self.port = 0
        self._listening = threading.Event()
        self._server = Server(self.app, self._started)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _started(self, port: int, *_: int) -> None:
        self.port = port
        self._listening.set()

    def _run(self) -> None:
        try:
            self._server.run(sockets=bind_one("127.0.0.1", 0))
        finally:
            self._listening.set()

    def __enter__(self) -> Self:
        self._thread.start()
        self._listening.wait(START_SECONDS)
        if not self.port:
            raise HubFailed("The hub of the trial did not start; the lines above say why.")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.should_exit = True
        self._thread.join(STOP_SECONDS)

    @property
    def url(self) -> str:
        """The URL of the hub."""
        return f"http://127.0.0.1:{self.port}"

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
