"""What the nodes say about their demand for fetches, in heartbeats.

No I/O, no clock, no randomness.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

import orjson

from pushhub.origin.shared.fetch_budget import NOTHING, Demand, bounded

if TYPE_CHECKING:
    from collections.abc import Mapping

# The demand of a silent node counts for five heartbeats. A node that receives its own heartbeats no
# more has stopped its paced fetches by then: it cannot publish what they find.
SILENT_SECONDS = 10.0
OWN_SILENT_SECONDS = 8.0
# The hashes of all samples in one heartbeat, and of one sample: 128 give the number of different
# resources to within 9 %. A heartbeat for 1,000 origins, the most routes, is less than 200 KB.
MAX_HASHES = 16_384
MAX_SAMPLE, MIN_SAMPLE = 128, 16
# More nodes than any cluster of one log has.
MAX_NODES = 1000


def origin_id(target: str) -> str:
    """A short name of an origin, the same on all nodes."""
    return blake2b(target.encode(), digest_size=6).hexdigest()


def sample_size(origins: int) -> int:
    """The number of hashes in a sample of a heartbeat for so many origins."""
    return max(MIN_SAMPLE, min(MAX_SAMPLE, MAX_HASHES // max(origins, 1)))


class DemandHeartbeat(NamedTuple):
    """The demands of one node, by `origin_id`. `sent` is a time on the node's `TurnClock`."""

    node: str
    sent: float
    demands: Mapping[str, Demand]

    def encode(self) -> bytes:
        """The event's data."""
        demands = {
            origin: [demand.waiters, demand.resources, demand.sample]
            for origin, demand in self.demands.items()
        }
        return orjson.dumps([self.node, self.sent, demands])

    @classmethod
    def decode(cls, data: bytes) -> DemandHeartbeat | None:
        """The heartbeat of an event's data; None for one that this version cannot read."""
        try:
            node, sent, demands = orjson.loads(data)
            return cls(
                str(node),
                float(sent),
                {
                    str(origin): Demand(
                        max(0, int(waiters)),
                        tuple((bounded(int(step)), max(0, int(n))) for step, n in resources),
                        tuple(int(hash) for hash in sample),
                    )
                    for origin, (waiters, resources, sample) in demands.items()
                },
            )
        except (ValueError, TypeError, AttributeError, OverflowError):
            return None


class NodeDemands:
    """The last heartbeat of each node, `own` included."""

    __slots__ = ("_nodes", "_received", "own")

    def __init__(self, own: str) -> None:
        self.own = own
        self._nodes: dict[str, tuple[float, Mapping[str, Demand]]] = {}
        # When this node's last heartbeat was sent that came back.
        self._received = float("-inf")

    def receive(self, heartbeat: DemandHeartbeat, now: float, sent: float) -> None:
        """Take over a heartbeat. One without demands says that the node needs no share. `sent` is
        the time of an own one on the clock of `now`.
        """
        if heartbeat.node == self.own:
            self._received = max(self._received, sent)
        self._nodes.pop(heartbeat.node, None)
        if heartbeat.demands and len(self._nodes) < MAX_NODES:
            self._nodes[heartbeat.node] = (now, heartbeat.demands)

    def expire(self, now: float) -> None:
        """Forget nodes that have been silent for long."""
        for node, (received, _) in list(self._nodes.items()):
            if node != self.own and now - received > SILENT_SECONDS:
                del self._nodes[node]

    def receives_own(self, now: float) -> bool:
        """Whether the other nodes still count this node's demand."""
        return now - self._received <= OWN_SILENT_SECONDS

    def at(self, origin: str) -> tuple[Demand, list[Demand]]:
        """This node's demand at an origin, as the other nodes know it, and those of all nodes."""
        own, demands = NOTHING, []
        for node, (_, by_origin) in sorted(self._nodes.items()):
            if (demand := by_origin.get(origin)) is not None:
                demands.append(demand)
                own = demand if node == self.own else own
        return own, demands

    def withdraw(self) -> None:
        """Forget this node's demand, which has ended: the heartbeat that says so may be lost."""
        self._nodes.pop(self.own, None)

    def __len__(self) -> int:
        return len(self._nodes)
