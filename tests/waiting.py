"""Waiting for a state that no event announces."""

import asyncio
import time
from collections.abc import Callable

NEWS_SECONDS = 15.0
"""The longest way of news over a network, on a busy machine; only a failing test waits so long."""
_PAUSE_SECONDS = 0.002


async def until(holds: Callable[[], object], seconds: float = NEWS_SECONDS) -> None:
    """Wait until a condition holds, while the event loop runs."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(_PAUSE_SECONDS)


def block_until(holds: Callable[[], object], seconds: float = NEWS_SECONDS) -> None:
    """Wait until a condition holds, in a test without an event loop."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"the condition did not hold within {seconds:.0f} s"
        time.sleep(_PAUSE_SECONDS)
