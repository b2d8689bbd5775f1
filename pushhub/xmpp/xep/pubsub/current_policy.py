"""The policies of nodes at the time of a delivery.

The hub keeps recently read records in memory, and they stay current. A record that is not in memory
is read from the store, and the deliveries to its node wait for that read in order.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

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


class _PolicyRead:
    """A read of one node's record, and the deliveries that wait for it: the driver of its hold."""

    __slots__ = ("deliveries", "hold", "node", "policies")

    def __init__(self, policies: CurrentPolicies, node: str) -> None:
        self.policies = policies
        self.node = node
        self.hold: Hold | None = None
        self.deliveries: list[Callable[[NodePolicy], None]] = []

    def deliver(self, reply: Any) -> None:
        self.policies.settle(self, reply)


class CurrentPolicies:
    """The current policy of each node, as far as the hub's memory has it."""

    __slots__ = ("_context", "_key", "_node", "_policy", "_reads", "_record")

    def __init__(self, context: Context) -> None:
        self._context = context
        self._reads: dict[str, _PolicyRead] = {}
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

    def wait(self, node: str, deliver: Callable[[NodePolicy], None]) -> None:
        """Call `deliver` with the policy for which `get` returned None, after the earlier
        deliveries to the node.
        """
        read = self._reads[node]
        read.deliveries.append(deliver)
        if read.hold is not None:
            hold, read.hold = read.hold, None
            hold.attach(read)

    def _try_again(self, read: _PolicyRead) -> None:
        found = self._in_memory(read.node)
        if isinstance(found, Hold):
            found.attach(read)
        else:
            self._finish(read, found)

    def settle(self, read: _PolicyRead, reply: Any) -> None:
        """A record was read, or cannot be read now."""
        try:
            record = value_event(reply)
        except StoreError:
            if self._context.hub.draining:
                del self._reads[read.node]
            else:
                asyncio.get_running_loop().call_later(RETRY_SECONDS, self._try_again, read)
            return
        self._finish(read, node_policy(self._context, read.node, event_json(record)))

    def _finish(self, read: _PolicyRead, policy: NodePolicy) -> None:
        del self._reads[read.node]
        for deliver in read.deliveries:
            # The record may have changed since the read.
            current = self._in_memory(read.node)
            if isinstance(current, Hold):
                current.drop()
                current = policy
            deliver(current)

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
