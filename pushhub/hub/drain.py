"""Answering every hold before the process leaves, a few at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pushhub.hub.channel_hold import ChannelHold

if TYPE_CHECKING:
    from pushhub.hub.hub import Hub

# How often a few holds are let go: often enough that their clients do not return in bunches.
STEP_SECONDS = 0.02


async def let_go(hub: Hub, until: float) -> None:
    """Spread the answers of all holds evenly over the time that is left; `until` is in the loop's
    seconds.
    """
    while True:
        left = until - hub.now()
        holds = [entry for entry in hub.wheel.entries() if isinstance(entry, ChannelHold)]
        if not holds:
            return
        steps = max(1, int(left / STEP_SECONDS))
        for hold in holds[: -(-len(holds) // steps)]:
            if not hold.done:
                hub.expire(hold)
        await asyncio.sleep(STEP_SECONDS if left > 0 else 0)
