"""Deletes the channels of resources that are forgotten, even if the store fails meanwhile."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pushhub.store.base import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from pushhub.hub.hub import Hub
    from pushhub.origin.shared.resource import Resource

# The pause before the next attempt: a restart of the store is over by then, and an outage costs one
# command.
RETRY_SECONDS = 30.0


class ChannelCleanup:
    """Channels that are to be deleted from the store.

    Args:
        used: the resources by their channel. A channel that is in use again stays, and is deleted
            with its resource.
        limit: at most so many channels are remembered.
        spawn: runs a coroutine in a task of its own.
    """

    __slots__ = ("_hub", "_left", "_limit", "_spawn", "_uniform", "_used")

    def __init__(
        self,
        hub: Hub,
        used: Mapping[str, Resource],
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
        """Delete a channel now, or when the store is back. A node with requests that wait on it
        fetches then; if the store fails, its own later fetches find the same.
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
                resource = self._used.get(channel)
                try:
                    if resource is None:
                        await self._hub.store.delete(channel)
                    else:
                        resource.state.events.published = True
                except StoreError:
                    break
                del self._left[channel]
