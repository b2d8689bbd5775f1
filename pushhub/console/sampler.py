"""Samples the key figures of one process every ten seconds, by the hub's wheel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.console.hour import SAMPLE_SECONDS, Hour
from pushhub.console.snapshot import bounds, key_counters
from pushhub.hub.wheel import OFF

if TYPE_CHECKING:
    from pushhub.api.service import Service


class HourSampler:
    """Fills the hour of a process, whether or not a console is open. It writes nothing."""

    __slots__ = ("_service", "hour", "tick")

    def __init__(self, service: Service) -> None:
        self._service = service
        self.hour = Hour(bounds())
        self.tick = OFF

    def start(self) -> None:
        """Take the first sample, and go on."""
        self.expire()

    def stop(self) -> None:
        """Take no more samples."""
        self._service.hub.wheel.clear(self)

    def expire(self) -> None:
        """A sample is due."""
        hub = self._service.hub
        now = hub.now()
        self.hour.add(now, key_counters(self._service))
        hub.wheel.set(self, now + SAMPLE_SECONDS)
