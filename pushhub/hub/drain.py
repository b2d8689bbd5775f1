"""Completes every hold before the process ends, a few at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pushhub.hub.channel_hold import ChannelHold

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.hub.wheel import Wheel

# The pause between two steps: short enough that the clients do not return in bunches.
STEP_SECONDS = 0.02


async def complete_holds(
    wheel: Wheel, now: Callable[[], float], until: float, ends: Callable[[ChannelHold], bool]
) -> None:
    """Let every hold that `ends` expire, spread evenly over the time that is left; `until` is in
    seconds of the clock `now`.
    """
    while True:
        left = until - now()
        holds = [
            entry for entry in wheel.entries() if isinstance(entry, ChannelHold) and ends(entry)
        ]
        if not holds:
            return
        steps = max(1, int(left / STEP_SECONDS))
        for hold in holds[: -(-len(holds) // steps)]:
            if not hold.done:
                hold.expire()
        await asyncio.sleep(STEP_SECONDS if left > 0 else 0)
