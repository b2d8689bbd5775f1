"""Pauses between the tries of a loop, and a report when a loop gives up without progress."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from pushhub.hub.hub import Hub

log = structlog.get_logger(__name__)

# The pause before the second try; each further pause doubles. A round trip to Redis within one data
# center takes half a millisecond, and a competing writer finishes within a few of them.
FIRST_PAUSE = 0.002
LONGEST_PAUSE = 0.1
# The log reports a stalled loop once in this time; the metric counts each.
LOG_SECONDS = 60.0


class Backoff:
    """The pauses of one process, and when each loop was last reported."""

    __slots__ = ("_hub", "_logged")

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._logged: dict[str, float] = {}

    async def pause(self, tries: int) -> None:
        """Wait before the next try. The pause is a random part of its maximum, so that two writers
        that collided do not collide again."""
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (tries - 1))
        await asyncio.sleep(self._hub.uniform(longest / 2, longest))

    def give_up(self, loop: str, **about: object) -> None:
        """Count a loop that made no progress, and log it."""
        self._hub.stats.xmpp_stalls[loop] += 1
        now = self._hub.now()
        if now - self._logged.get(loop, -math.inf) >= LOG_SECONDS:
            self._logged[loop] = now
            log.warning("xmpp.stalled", loop=loop, **about)
