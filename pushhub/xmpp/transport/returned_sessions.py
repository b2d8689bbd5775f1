"""Sessions that this node took from the store and could not resume, because the store failed
meanwhile. Their states go back into the store, so that any node can take them again.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson
import structlog

from pushhub.store.base import StoreError
from pushhub.xmpp.cluster.migration import MAX_STATE_BYTES

if TYPE_CHECKING:
    from pushhub.xmpp.cluster.membership import Membership
    from pushhub.xmpp.cluster.migration import Migration
    from pushhub.xmpp.context import Context
    from pushhub.xmpp.transport.session_memory import SessionMemory

log = structlog.get_logger(__name__)

# The longest pause before a try; the shortest is half of that. BOSH clients repeat a request after
# a second or more, and find the session on the node of their choice.
RETURN_SECONDS = 1.0


class ReturnedSessions:
    """The sids of these sessions, until their states are stored."""

    def __init__(
        self, context: Context, membership: Membership, migration: Migration, memory: SessionMemory
    ) -> None:
        self._context = context
        self._membership = membership
        self._migration = migration
        self._memory = memory
        self._sids: set[str] = set()
        self.closing = False
        """Whether the node leaves: each state gets one more try."""

    def add(self, sid: str, state: Any, until: float) -> None:
        """Store a state again. `until` is when its session ends, by the hub's clock."""
        data = orjson.dumps(state)
        size = len(data)
        if self._memory.total + size > self._memory.budget or size > MAX_STATE_BYTES:
            self._lose("The node has no memory for the session's state.")
            return
        self._memory.change(0, size)
        self._sids.add(sid)
        self._context.spawn(self._store(sid, data, until))

    async def _store(self, sid: str, state: bytes, until: float) -> None:
        hub, key = self._context.hub, self._context.new_id()
        try:
            while True:
                await asyncio.sleep(hub.uniform(RETURN_SECONDS / 2, RETURN_SECONDS))
                is_last = self.closing or hub.now() >= until
                try:
                    await self._migration.give_back(sid, self._membership.id, state, key)
                    return
                except StoreError as error:
                    if is_last:
                        self._lose(str(error))
                        return
        finally:
            self._sids.discard(sid)
            self._memory.change(len(state), 0)

    def _lose(self, error: str) -> None:
        self._context.hub.log.warning(log, "bosh.lost", error=error)

    def __contains__(self, sid: str) -> bool:
        return sid in self._sids

    def __len__(self) -> int:
        return len(self._sids)

    def __repr__(self) -> str:
        return f"<ReturnedSessions {len(self._sids)}>"
