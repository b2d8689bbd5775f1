"""The signals of a terminal, which reach its whole process group."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING

from pushhub.server.reload import HANGUP

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def terminal_signals_blocked() -> Iterator[None]:
    """A process that is started here never gets SIGINT or SIGHUP. Ctrl-C and the end of a terminal
    reach the whole process group, but only the supervisor handles them. The supervisor receives
    signals of this time after the block.
    """
    # The first process would start the tracker, which lifts the block.
    resource_tracker.ensure_running()
    blocked = [signal.SIGINT, *([] if HANGUP is None else [HANGUP])]
    before = signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
