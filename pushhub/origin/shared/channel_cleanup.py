"""Deletes the channels of resources that are forgotten, even if the store fails meanwhile."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pushhub.store.base import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Coroutine

    from pushhub.hub.hub import Hub

# The pause before the next attempt: a restart of the store is over by then, and an outage costs one
# command.
RETRY_SECONDS = 30.0


class ChannelCleanup:
    """Channels that are to be deleted from the store.

    Args:
        used: the channels that are in use again, and stay.
        limit: at most so many channels are remembered.
        spawn: runs a coroutine in a task of its own.
    """

    __slots__ = ("_hub", "_left", "_limit", "_spawn", "_uniform", "_used")

    def __init__(
        self,
        hub: Hub,
        used: Container[str],
        limit: int,
        spawn: Callable[[Coroutine[None, None, None]], object],
        uniform: Callable[[float, float], float],
    ) -> None:
        self._hub = hub
        self._used = used
        self._limit = limit
        self._spawn = spawn
        self._uniform = uniform
        self._left: dict[str, None] = {}

    async def delete(self, channel: str) -> None:
        """Delete a channel now, or when the store is back. Requests that wait on it, on any node,
        end then; if the store fails, other nodes find the same by their own fetches.
        """
        try:
            await self._hub.store.delete(channel)
        except StoreError:
            if len(self._left) < self._limit:
                self._left[channel] = None
            if len(self._left) == 1:
                self._spawn(self._retry())

    async def _retry(self) -> None:
        """Delete the channels that are left: without this they would stay permanently."""
        while self._left:
            await asyncio.sleep(self._uniform(RETRY_SECONDS / 2, RETRY_SECONDS))
            for channel in list(self._left):
                try:
                    if channel not in self._used:
                        await self._hub.store.delete(channel)
                except StoreError:
                    break
                del self._left[channel]
