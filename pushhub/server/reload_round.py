"""One reload at all workers of a node."""

from __future__ import annotations

import os
import pickle
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from pushhub.api.reload import ReloadOutcome
from pushhub.server.worker import Reconfigure, ReloadDone, ReloadFailed

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess
    from pathlib import Path

    from pushhub.server.supervisor import Worker
    from pushhub.settings import Settings

# A worker takes other settings within milliseconds, unless its loop is blocked. The response to a
# request for a reload has the number of the workers that did so in time.
RELOAD_SECONDS = 10.0


class ReloadRound:
    """One reload at all workers: it ends when each uses the settings, or has ended itself."""

    def __init__(self) -> None:
        self.number = 0
        self._file: Path | None = None
        self._outcome = ReloadOutcome()
        self._asking: list[tuple[Worker, SpawnProcess, int]] = []
        self._end = 0.0
        self._running = False

    def begin(
        self,
        settings: Settings | None,
        outcome: ReloadOutcome,
        workers: list[Worker],
        asking: list[tuple[Worker, int]],
        folder: Path,
        by_signal: bool,
    ) -> None:
        """Send the settings, if there are new ones, to the workers. `asking` are the workers with
        requests for a reload, and the number of these.
        """
        self._outcome, self._running = outcome, True
        self._asking = [(worker, worker.process, count) for worker, count in asking]
        self._end = time.monotonic() + RELOAD_SECONDS
        if settings is None:
            if by_signal:
                # Each worker has a line of its own, as for a reload that succeeds.
                for worker in workers:
                    if worker.restart_at is None:
                        worker.send(ReloadFailed(outcome.error))
            return
        self.number += 1
        self._file = folder / f"settings-{self.number}"
        # It has secrets, and nobody else may read it.
        os.close(os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        self._file.write_bytes(pickle.dumps(settings))
        for worker in workers:
            if worker.restart_at is None:
                worker.send(Reconfigure(self.number, self._file, by_signal))

    def is_running(self, workers: list[Worker], now: float) -> bool:
        """Whether a round is running still. At its end the requests for it are done."""
        if not self._running:
            return False
        current = [w for w in workers if w.restart_at is None and w.configured >= self.number]
        if len(current) < len(workers) and now < self._end:
            return True
        self._running = False
        if self._file is not None and len(current) == len(workers):
            self._file.unlink(missing_ok=True)
        done = ReloadDone(replace(self._outcome, workers=len(current)))
        for worker, process, count in self._asking:
            if worker.process is process and worker.restart_at is None:
                for _ in range(count):
                    worker.send(done)
        return False
