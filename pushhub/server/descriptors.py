"""Detects that the process has no file descriptor left.

Without a free descriptor libuv accepts a connection with a reserved one, and closes it immediately.
So there is no busy loop, but no error either: clients see connections that end, and the log has no
line. Therefore the process tries once a second to open a file.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import structlog

from pushhub.api.process_figures import most_descriptors
from pushhub.hub.wheel import OFF

if TYPE_CHECKING:
    from pushhub.hub.hub import Hub

log = structlog.get_logger(__name__)

# Metrics are read less often, and opening a file takes microseconds.
PROBE_SECONDS = 1.0
# No descriptor left in the process, or in the system.
EXHAUSTED = (errno.EMFILE, errno.ENFILE)


class DescriptorMonitor:
    """Logs once when descriptors run out, and once when some are free again; counts the seconds."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._exhausted = False
        self.tick = OFF

    def start(self) -> None:
        """Schedule the next try."""
        self._hub.wheel.set(self, self._hub.now() + PROBE_SECONDS)

    def expire(self) -> None:
        """Try to open a file."""
        try:
            os.close(os.open(os.devnull, os.O_RDONLY))
        except OSError as error:
            if error.errno in EXHAUSTED:
                self._hub.stats.descriptors_exhausted += 1
                if not self._exhausted:
                    log.error(
                        "descriptors.exhausted",
                        limit=most_descriptors(),
                        effect="New connections are closed immediately. Raise the limit of open "
                        "files (LimitNOFILE, ulimit -n), or lower max_holds.",
                    )
                self._exhausted = True
        else:
            if self._exhausted:
                log.info("descriptors.available")
            self._exhausted = False
        self.start()
