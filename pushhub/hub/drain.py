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
    wheel: Wheel, now: Callable[[], float], until: float, *, everything: bool
) -> None:
    """Let every hold of a client expire, spread evenly over the time that is left; `until` is in
    seconds of the clock `now`. The server's own subscriptions go on, unless `everything` ends: what
    leaves, such as an XMPP session, still needs the other nodes.
    """
    while True:
        left = until - now()
        waiting = [entry for entry in wheel.entries() if isinstance(entry, ChannelHold)]
        holds = [hold for hold in waiting if everything or not hold.outlives_drain]
        if not holds:
            return
        steps = max(1, int(left / STEP_SECONDS))
        for hold in holds[: -(-len(holds) // steps)]:
            if not hold.done:
                hold.expire()
        await asyncio.sleep(STEP_SECONDS if left > 0 else 0)
