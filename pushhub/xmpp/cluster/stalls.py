"""Loops that are given up because they make no progress: each is counted, and the log says so."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from pushhub.hub.hub import Hub

log = structlog.get_logger(__name__)

# The pause before a second try, twice as long before each further one. A round trip to Redis in one
# data center takes half a millisecond, and a second writer is through in a few of them.
FIRST_PAUSE = 0.002
LONGEST_PAUSE = 0.1
# A stalled loop is in the log once in this time; the metric counts each.
LOG_SECONDS = 60.0


class Stalls:
    """The stalled loops of one process, by the loop's name."""

    __slots__ = ("_hub", "_logged")

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._logged: dict[str, float] = {}

    async def pause(self, tries: int) -> None:
        """Wait before the next try, after so many. Two that met do not meet again: the pause is a
        random part of its length."""
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (tries - 1))
        await asyncio.sleep(self._hub.uniform(longest / 2, longest))

    def note(self, loop: str, **about: object) -> None:
        """A loop is given up."""
        self._hub.stats.xmpp_stalls[loop] += 1
        now = self._hub.now()
        if now - self._logged.get(loop, -math.inf) >= LOG_SECONDS:
            self._logged[loop] = now
            log.warning("xmpp.stalled", loop=loop, **about)
