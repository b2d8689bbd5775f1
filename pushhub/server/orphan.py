"""The end of a worker whose supervisor has died: no worker runs without one, whatever it does."""

from __future__ import annotations

import os
import threading
from multiprocessing import parent_process
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class OrphanGuard:
    """Ends this process some time after the process that started it.

    A thread waits for the supervisor's end, so it works while the event loop does not: during a
    start that waits for the store, and during a drain that does not end.
    """

    def __init__(self, leave: Callable[[], float]) -> None:
        """`leave` is called in the thread when the supervisor has ended, and returns the seconds in
        which the worker ends by itself.
        """
        self._leave = leave
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="orphan", daemon=True)

    def start(self) -> None:
        """Begin to watch; nothing to do in a process that has no supervisor."""
        if parent_process() is not None:
            self._thread.start()

    def stop(self) -> None:
        """The worker ends by itself."""
        self._ended.set()

    def _watch(self) -> None:
        parent = parent_process()
        assert parent is not None
        parent.join()
        if not self._ended.wait(self._leave()):
            # The exit of the interpreter would wait for what hangs.
            os._exit(1)
