"""What the judges of a run see of its world: the time, the log, and the faults under way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pushhub.testing.simulation.log import Log


class Scene(Protocol):
    """A world, as its oracles see it."""

    is_certain: bool
    """Whether the log's feed can lose no event: one process with a log of its own."""
    log: Log

    def now(self) -> float:
        """Virtual seconds."""

    def tell(self, actor: str, words: str) -> None:
        """Add a line to the story."""

    def troubled(self, node: str, begin: float, end: float) -> bool:
        """Whether a fault was at a node, or at all nodes, in that time."""

    def troubled_any(self, begin: float, end: float, *, drains: bool = True) -> bool:
        """Whether a fault was at any node or at the origin in that time; without `drains`, a node
        that drained does not count.
        """

    def whole_since(self, node: str, begin: float) -> float:
        """The moment from which a node had no fault: `begin`, or later."""

    def dropped(self, node: str) -> float:
        """When a node's feed last lost a single message."""

    def has_lost(self, node: str, channel: str, offset: int) -> bool:
        """Whether a node's feed lost the message of that event."""
