"""The policies of nodes at the time of a delivery.

The hub keeps recently read records in memory, and they stay current. A record that is not in memory
is read from the store, and the deliveries to its node wait for that read in order. If the store
cannot be read for long, or too many bytes wait, the deliveries are lost, and each is notified of
that.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

import structlog

from pushhub.hub.hold import Hold
from pushhub.hub.subscription import RETRY_SECONDS
from pushhub.store.base import StoreError
from pushhub.xmpp.storage.key_value import event_json, value_event
from pushhub.xmpp.xep.pubsub.rights import node_key, node_policy

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pushhub.log.event import Event
    from pushhub.xmpp.context import Context
    from pushhub.xmpp.xep.pubsub.policy import NodePolicy

log = structlog.get_logger(__name__)

# Reads of one record: with pauses of 1, 2, 4, 8, 16 and then 30 s these are eight minutes, longer
# than a failover of Redis or a restart of the machine takes.
MAX_ATTEMPTS = 20
MAX_RETRY_SECONDS = 30.0
# Bytes of all deliveries that wait: as many as all tails in memory have.
MAX_WAITING_BYTES = 64 * 1024 * 1024
# One delivery without its content, which many subscribers share; measured with `tracemalloc`.
DELIVERY_BYTES = 400


class _Delivery(NamedTuple):
    """A delivery that waits."""

    deliver: Callable[[NodePolicy], None]
    lose: Callable[[], None]


class _PolicyRead:
    """A read of one node's record, and the deliveries that wait for it: the driver of its hold."""

    __slots__ = ("attempts", "content", "deliveries", "hold", "node", "policies", "size")

    def __init__(self, policies: CurrentPolicies, node: str) -> None:
        self.policies = policies
        self.node = node
        self.hold: Hold | None = None
        self.deliveries: list[_Delivery] = []
        self.attempts = 1
        # The content of the last delivery, and the bytes of all.
        self.content: object = None
        self.size = 0

    def deliver(self, reply: Any) -> None:
        self.policies.settle(self, reply)


class CurrentPolicies:
    """The current policy of each node, as far as the hub's memory has it."""

    __slots__ = ("_context", "_key", "_node", "_policy", "_reads", "_record", "_waiting_bytes")

    def __init__(self, context: Context) -> None:
        self._context = context
        self._reads: dict[str, _PolicyRead] = {}
        self._waiting_bytes = 0
        # The last policy, for the next of many subscribers of a node.
        self._node = self._key = ""
        self._record: Event | None = None
        self._policy = node_policy(context, "", None)

    def get(self, node: str) -> NodePolicy | None:
        """A node's policy; None if a delivery must `wait` for it."""
        if self._reads and node in self._reads:
            return None
        found = self._in_memory(node)
        if isinstance(found, Hold):
            self._reads[node] = read = _PolicyRead(self, node)
            read.hold = found
            return None
        return found

    def wait(
        self,
        node: str,
        deliver: Callable[[NodePolicy], None],
        lose: Callable[[], None],
        content: tuple[bytes, bytes],
    ) -> None:
        """Call `deliver` with the policy for which `get` returned None, after the earlier
        deliveries to the node. Call `lose` instead if it cannot be read, or if too many wait.
        `content` is what the delivery keeps in memory.
        """
        read = self._reads[node]
        size = DELIVERY_BYTES
        if content is not read.content:
            # The next subscriber of the same event shares it.
            size += sum(map(len, content))
            read.content = content
        read.deliveries.append(_Delivery(deliver, lose))
        read.size += size
        self._waiting_bytes += size
        if self._waiting_bytes > MAX_WAITING_BYTES:
            self._give_up(read, "too many bytes wait")
            return
        if read.hold is not None:
            hold, read.hold = read.hold, None
            hold.attach(read)

    def _try_again(self, read: _PolicyRead) -> None:
        if self._reads.get(read.node) is not read:
            return
        read.attempts += 1
        found = self._in_memory(read.node)
        if isinstance(found, Hold):
            found.attach(read)
        else:
            self._finish(read, found)

    def settle(self, read: _PolicyRead, reply: Any) -> None:
        """A record was read, or cannot be read now."""
        if self._reads.get(read.node) is not read:
            return  # Its deliveries are lost.
        try:
            record = value_event(reply)
        except StoreError:
            if self._context.hub.closing:
                self._forget(read)
            elif read.attempts >= MAX_ATTEMPTS:
                self._give_up(read, "the store cannot be read")
            else:
                pause = min(RETRY_SECONDS * 2 ** (read.attempts - 1), MAX_RETRY_SECONDS)
                asyncio.get_running_loop().call_later(pause, self._try_again, read)
            return
        self._finish(read, node_policy(self._context, read.node, event_json(record)))

    def _finish(self, read: _PolicyRead, policy: NodePolicy) -> None:
        self._forget(read)
        for deliver, _ in read.deliveries:
            # The record may have changed since the read.
            current = self._in_memory(read.node)
            if isinstance(current, Hold):
                current.drop()
                current = policy
            deliver(current)

    def _forget(self, read: _PolicyRead) -> None:
        del self._reads[read.node]
        self._waiting_bytes -= read.size

    def _give_up(self, read: _PolicyRead, reason: str) -> None:
        self._forget(read)
        hold, read.hold = read.hold, None
        if hold is not None:
            hold.drop()
        self._context.hub.log.warning(
            log, "pubsub.notifications_lost", reason=reason, lost=len(read.deliveries)
        )
        for _, lose in read.deliveries:
            lose()

    def _in_memory(self, node: str) -> NodePolicy | Hold:
        """A node's policy, or the hold of a read of its record."""
        if node != self._node:
            self._node, self._key = node, node_key(node)
            self._record, self._policy = None, node_policy(self._context, node, None)
        record = self._context.kv.start_read(self._key)
        if isinstance(record, Hold):
            return record
        if record is not self._record:
            self._record = record
            self._policy = node_policy(self._context, node, event_json(record))
        return self._policy

    def __repr__(self) -> str:
        return f"<CurrentPolicies {len(self._reads)} reads>"
