"""The watchdog of a single process: the event loop itself feeds it.

A timer of the hub's wheel sends each beat. A loop that is blocked turns no wheel, so the service
manager receives no beat, and restarts the service.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.hub.wheel import OFF

if TYPE_CHECKING:
    from pushhub.hub.hub import Hub
    from pushhub.server.notify_socket import NotifySocket


class Watchdog:
    """Sends a beat with the number of holds, twice in the time of the watchdog."""

    def __init__(self, hub: Hub, manager: NotifySocket) -> None:
        self._hub = hub
        self._manager = manager
        self.verb = "Serving"
        self.tick = OFF

    @property
    def status(self) -> str:
        """The line of `systemctl status`."""
        return f"{self.verb}; {self._hub.parked} holds"

    def start(self) -> None:
        """Send beats from now on, if there is a service manager."""
        if self._manager.is_active:
            self._hub.wheel.set(self, self._hub.now() + self._manager.beat_seconds)

    def expire(self) -> None:
        """Send a beat."""
        self._manager.beat(self.status)
        self.start()
