"""Which node fetches: a claim in the log for each fetch that is due on several nodes.

Before a scheduled fetch a node appends an idempotency key; the node that appends first does the
fetch. There is no owner, so no failover is needed.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pushhub.log.event import Draft
from pushhub.store.base import REGISTER, Append, Appended

if TYPE_CHECKING:
    from pushhub.hub.hub import Hub
    from pushhub.store.base import Outcome

# The keys of all resources are in one channel.
CLAIMS_CHANNEL = "$origin:turns"


class FetchClaims:
    """The claims of one node."""

    __slots__ = ("_hub",)

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def begin(self, channel: str, claim: str) -> asyncio.Future[bool]:
        """Claim a fetch. The future says whether this node does it, of all nodes with the same
        claim on a channel; the caller may set the result first.
        """
        is_won: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if self._hub.store.certain:
            is_won.set_result(True)
            return is_won

        def settled(outcomes: list[Outcome]) -> None:
            (outcome,) = outcomes
            # A store that fails here also fails the publish after the fetch, which reports it.
            if not is_won.done():
                is_won.set_result(not (isinstance(outcome, Appended) and outcome.duplicate))

        key = Append(CLAIMS_CHANNEL, Draft(b"{}"), REGISTER, key=f"{channel}:{claim}")
        self._hub.record([key], settled)
        return is_won


class FetchClaim:
    """The claim of one resource that the log has not settled yet, if there is one."""

    __slots__ = ("_channel", "_claims", "_is_won")

    def __init__(self, claims: FetchClaims, channel: str) -> None:
        self._claims = claims
        self._channel = channel
        self._is_won: asyncio.Future[bool] | None = None

    async def acquire(self, claim: str) -> bool:
        """Whether this node does the fetch of that name."""
        self._is_won = self._claims.begin(self._channel, claim)
        try:
            return await self._is_won
        finally:
            self._is_won = None

    def take(self) -> None:
        """Do the fetch, whatever the log says."""
        if self._is_won is not None and not self._is_won.done():
            self._is_won.set_result(True)
