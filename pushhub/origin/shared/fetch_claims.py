"""Which node fetches: a claim in the log for each fetch that is due on several nodes.

Before a scheduled fetch a node appends an idempotency key; the node that appends first does the
fetch. There is no owner, so no failover is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.log.event import Draft
from pushhub.store.base import IDEMPOTENCY_SECONDS, REGISTER, Append, Appended

if TYPE_CHECKING:
    from pushhub.hub.hub import Hub

# The keys of all resources are in one channel.
CLAIMS_CHANNEL = "$origin:turns"


class FetchClaims:
    """The claims of one node."""

    __slots__ = ("_hub", "_latest")

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        # The latest wall-clock time, and when it was read, on the hub's clock.
        self._latest = (float("-inf"), 0.0)

    async def acquire(self, channel: str, claim: str) -> bool:
        """Whether this node does the fetch, of all nodes with the same claim on a channel."""
        store = self._hub.store
        if store.certain or self._is_set_back():
            return True
        key = Append(CLAIMS_CHANNEL, Draft(b"{}"), REGISTER, key=f"{channel}:{claim}")
        (outcome,) = await self._hub.recorded(key)
        # A store that fails here also fails the publish after the fetch, which reports it.
        return not isinstance(outcome, Appended) or not outcome.duplicate

    def _is_set_back(self) -> bool:
        """Whether the wall clock shows an earlier time than before. Claims are named by that clock,
        so their names are taken and no node would fetch. The store remembers names for
        IDEMPOTENCY_SECONDS.
        """
        clock, now = self._hub.clock(), self._hub.now()
        latest, at = self._latest
        if clock < latest and now - at < IDEMPOTENCY_SECONDS:
            return True
        self._latest = (clock, now)
        return False
