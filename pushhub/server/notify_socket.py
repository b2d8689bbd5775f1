"""The state of this process for its service manager, by the protocol of sd_notify(3).

Each message is one datagram of lines `NAME=value`. Without `NOTIFY_SOCKET` nothing is sent. The
variables are removed from the environment, so that workers and other children send no messages.
"""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableMapping

# The interval of the status line without a watchdog: `systemctl status` is read by people.
STATUS_SECONDS = 10.0


class NotifySocket:
    """Sends the states of one process. A message that cannot be sent never blocks the loop: a
    change of state is sent again with the next beat, and a beat is followed by another one.

    Args:
        address: the path of a Unix socket, or `@name` for an abstract one; empty without a manager.
        watchdog_seconds: the time after which the manager expects a beat; 0 if it expects none.
    """

    def __init__(self, address: str = "", watchdog_seconds: float = 0.0) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._watchdog = watchdog_seconds > 0
        # sd_watchdog_enabled(3) recommends half of the time.
        self.beat_seconds = watchdog_seconds / 2 if self._watchdog else STATUS_SECONDS
        self._socket: socket.socket | None = None
        self._unsent = ""
        self._reloading = False
        self.is_active = False
        if address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)
            self.is_active = True

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str]) -> NotifySocket:
        """The socket that the environment names; the variables are removed."""
        address = environ.pop("NOTIFY_SOCKET", "")
        microseconds = environ.pop("WATCHDOG_USEC", "")
        process = environ.pop("WATCHDOG_PID", str(os.getpid()))
        # Other addresses, such as vsock of virtual machines, are no paths.
        if address[:1] not in ("/", "@") or not hasattr(socket, "AF_UNIX"):
            return cls()
        is_watched = process == str(os.getpid()) and microseconds.isascii()
        is_watched = is_watched and microseconds.isdigit()
        return cls(address, int(microseconds) / 1e6 if is_watched else 0.0)

    def ready(self, status: str) -> None:
        """The process serves."""
        self._change("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """A reload begins."""
        self._reloading = True
        # The clock of CLOCK_MONOTONIC, for units of `Type=notify-reload`.
        self._change("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def reloaded(self) -> None:
        """The reload, if one was running, has ended."""
        if self._reloading:
            self._reloading = False
            self._change("READY=1")

    def stopping(self, status: str, seconds: float) -> None:
        """The process ends within so many seconds; until then the manager does not kill it."""
        microseconds = round(seconds * 1e6)
        self._change("STOPPING=1", f"STATUS={status}", f"EXTEND_TIMEOUT_USEC={microseconds}")

    def beat(self, status: str) -> None:
        """A sign of life, with the status of now."""
        lines = [self._unsent] if self._unsent else []
        lines.append(f"STATUS={status}")
        if self._watchdog:
            lines.append("WATCHDOG=1")
        if self._send("\n".join(lines)):
            self._unsent = ""

    def close(self) -> None:
        """Send nothing more."""
        if self._socket is not None:
            self._socket.close()
            self._socket, self.is_active = None, False

    def _change(self, *lines: str) -> None:
        message = "\n".join(lines)
        # Only the last state counts.
        self._unsent = "" if self._send(message) else message

    def _send(self, message: str) -> bool:
        if self._socket is None:
            return True
        try:
            self._socket.sendto(message.encode(), self._address)
        except OSError:
            return False  # the manager restarts, or its queue is full
        return True


class Beat:
    """The beats of a process, at most one in each interval."""

    def __init__(self, manager: NotifySocket) -> None:
        self._manager = manager
        self._next = 0.0

    def send(self, now: float, status: str) -> None:
        """Send a beat if it is time."""
        if now >= self._next:
            self._next = now + self._manager.beat_seconds
            self._manager.beat(status)
