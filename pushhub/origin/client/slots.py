"""The slots of a pool of connections: a limit for all, and for each client and for uploads a part.

A request that finds no free slot waits, first come first served. A client at its own limit waits
for its own requests, and delays no other client.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, NamedTuple

from pushhub.http.problem import Problem, retry_after
from pushhub.http.rate_limit_fields import too_many

if TYPE_CHECKING:
    from collections.abc import Callable

# A proxied request usually ends within this time, and then there is a free slot.
RETRY_SECONDS = 2


class Use(NamedTuple):
    """The use of one connection: the key of the client, and whether its body comes in pieces.

    Without a key no limit of one client applies.
    """

    client: str = ""
    uploads: bool = False


class PoolLimits(NamedTuple):
    """The largest numbers of connections: of one pool, of one client in it, and of uploads."""

    connections: int
    per_client: int
    uploads: int

    @classmethod
    def of(cls, connections: int, share: float = 1.0, upload_share: float = 1.0) -> PoolLimits:
        """The limits by parts of the whole, at least one connection each."""
        return cls(
            connections, math.ceil(connections * share), math.ceil(connections * upload_share)
        )


class PoolSlots:
    """The slots of one pool."""

    __slots__ = ("_all", "_by_client", "_per_client", "_uploads")

    def __init__(self, limits: PoolLimits) -> None:
        self._all = asyncio.Semaphore(limits.connections)
        self._uploads = asyncio.Semaphore(limits.uploads)
        self._per_client = limits.per_client
        # Clients with a slot or a waiting request, and the number of both.
        self._by_client: dict[str, tuple[asyncio.Semaphore, int]] = {}

    async def acquire(self, use: Use, seconds: float) -> None:
        """Take a slot, or wait for one.

        Raises:
            Problem: no slot was free in time: 429 for a client at its own limit, 503 for an upload,
                else 504.
        """
        steps: list[tuple[asyncio.Semaphore, Callable[[], Problem]]] = [(self._all, _all_in_use)]
        if use.uploads:
            steps.insert(0, (self._uploads, _uploads_in_use))
        if use.client:
            steps.insert(0, (self._join(use.client), self._share_in_use))
        waits = any(semaphore.locked() for semaphore, _ in steps)
        taken: list[asyncio.Semaphore] = []
        try:
            async with asyncio.timeout(seconds if waits else None):
                for semaphore, _ in steps:
                    await semaphore.acquire()
                    taken.append(semaphore)
        except BaseException as error:
            for semaphore in taken:
                semaphore.release()
            self._leave(use.client)
            if isinstance(error, TimeoutError):
                _, in_use = steps[len(taken)]
                raise in_use() from None
            raise

    def release(self, use: Use) -> None:
        """Give the slots of a use back."""
        self._all.release()
        if use.uploads:
            self._uploads.release()
        if use.client:
            self._by_client[use.client][0].release()
            self._leave(use.client)

    def _share_in_use(self) -> Problem:
        return too_many(
            "origin_share",
            "Too many requests of your address wait for the origin; send fewer at the same time.",
            self._per_client,
            "concurrent-requests",
            RETRY_SECONDS,
        )

    def _join(self, client: str) -> asyncio.Semaphore:
        semaphore, count = self._by_client.get(client) or (asyncio.Semaphore(self._per_client), 0)
        self._by_client[client] = semaphore, count + 1
        return semaphore

    def _leave(self, client: str) -> None:
        if client:
            semaphore, count = self._by_client[client]
            if count > 1:
                self._by_client[client] = semaphore, count - 1
            else:
                del self._by_client[client]


def _all_in_use() -> Problem:
    return Problem("origin-timeout", "Every connection to the origin is in use; try later.")


def _uploads_in_use() -> Problem:
    return Problem(
        "overloaded",
        "Too many uploads to the origin are in progress; try later.",
        headers=(retry_after(RETRY_SECONDS),),
    )
