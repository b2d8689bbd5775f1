"""What all sources have in common: each is followed until it ends, and again after a pause."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pushhub.origin.sources.sink import SourceSink

log = structlog.get_logger(__name__)

# The pause before the next attempt; it doubles up to the longest. A restart of PostgreSQL, or the
# exchange of a folder, takes seconds; an outage costs two attempts a minute.
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0


class FollowedSource:
    """A source that `run` follows until it is cancelled. A class of sources defines `follow`.

    Args:
        name: the name of the source, for the log.
        uniform: draws a number between two, so that nodes do not begin again together.
    """

    def __init__(
        self, name: str, sink: SourceSink, uniform: Callable[[float, float], float]
    ) -> None:
        self._name = name
        self._sink = sink
        self._uniform = uniform
        self.is_connected = False

    async def run(self) -> None:
        """Follow the source, and begin again after a failure."""
        loop, pause, logged = asyncio.get_running_loop(), FIRST_PAUSE, ""
        while True:
            begun = loop.time()
            why = await self.follow()
            if self.is_connected:
                if loop.time() - begun > LONGEST_PAUSE:
                    pause, logged = FIRST_PAUSE, ""
                self.disconnected()
            self.is_connected = False
            if why != logged:
                logged = why
                log.warning("source.disconnected", source=self._name, why=why)
            await asyncio.sleep(self._uniform(pause / 2, pause))
            pause = min(2 * pause, LONGEST_PAUSE)

    def follow(self) -> Awaitable[str]:
        """Connect, call `connected`, and hand on changes; returns why that has ended."""
        raise NotImplementedError

    def connected(self) -> None:
        """From now on no change is missed; those before it may be."""
        self.is_connected = True
        log.info("source.connected", source=self._name)
        self._sink.lost()

    def disconnected(self) -> None:
        """The source has ended after `connected`."""
