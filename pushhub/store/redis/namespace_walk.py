"""The walk that keeps the counts of namespaces with a limit right in Redis.

Appends count themselves (`lua/append.lua`). The walk counts what is older than the limit, removes
aged events of channels that nothing is published to, and replaces the sum. The nodes take turns.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

import structlog

from pushhub.log.read import MAX_RESPONSE_BYTES
from pushhub.store.base import StoreError
from pushhub.store.epoch import draw_epoch
from pushhub.store.namespace_bytes import after_prefix, prefix
from pushhub.store.redis.frame import EPOCH_KEY, NAMES_KEY, bytes_key, keys
from pushhub.store.redis.idle import CLAIM_SECONDS, SLICE_CHANNELS, SLICE_EVENTS, SLICE_PAUSE
from pushhub.store.redis.scripts import RECOUNT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pushhub.store.redis.wire import Command, Reply

log = structlog.get_logger(__name__)


class NamespaceWalk:
    """The walk through the channels of each namespace that this process has met a limit of.

    Args:
        call: sends a command to Redis and returns the reply.
        now: milliseconds since 1970 for the scripts; empty for the server's own.
        seconds: the pause between two walks.
    """

    def __init__(
        self,
        call: Callable[[Command], Awaitable[Reply]],
        now: Callable[[], bytes | int],
        seconds: float,
    ) -> None:
        self._call = call
        self._now = now
        self._seconds = seconds
        self._name = secrets.token_hex(8)
        # As many as the settings name.
        self._namespaces: set[str] = set()
        self._task: asyncio.Task[None] | None = None
        self._added = asyncio.Event()

    def include(self, namespace: str) -> None:
        """Count a namespace from now on."""
        if namespace in self._namespaces:
            return
        self._namespaces.add(namespace)
        self._added.set()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def retained(self, namespace: str) -> int:
        """The bytes of a namespace."""
        self.include(namespace)
        (count,) = await self._call((b"HMGET", bytes_key(namespace), b"bytes"))
        return int(count or 0)

    async def close(self) -> None:
        """End the walk; another node goes on with it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            self._added.clear()
            for namespace in tuple(self._namespaces):
                try:
                    await self._walk(namespace)
                except StoreError as error:
                    # The reason is logged where the connection or the command failed.
                    log.debug("store.namespace_walk_failed", error=str(error))
                except Exception:
                    # A mistake in the code; appends go on counting.
                    log.exception("store.namespace_walk_failed")
            try:
                await asyncio.wait_for(self._added.wait(), self._seconds)
            except TimeoutError:
                pass

    async def _walk(self, namespace: str) -> None:
        """Go through all channels of a namespace, if no other node does."""
        channels: list[str] = []
        while True:
            reply = await self._call(self._command(namespace, channels))
            if reply[0] != b"ok":
                return
            channels = [name.decode() for name in reply[1]]
            if not channels:
                return
            await asyncio.sleep(min(SLICE_PAUSE, self._seconds))

    def _command(self, namespace: str, channels: list[str]) -> Command:
        start = prefix(namespace)
        of_channels = [key for channel in channels for key in keys(channel)]
        return RECOUNT.call(
            (EPOCH_KEY, NAMES_KEY, bytes_key(namespace), *of_channels),
            draw_epoch(),
            self._now(),
            self._name,
            int(CLAIM_SECONDS * 1000),
            int(self._seconds * 1000),
            start,
            after_prefix(namespace),
            SLICE_CHANNELS,
            SLICE_EVENTS,
            MAX_RESPONSE_BYTES,
            *channels,
        )

    def __repr__(self) -> str:
        return f"<NamespaceWalk {sorted(self._namespaces)}>"
