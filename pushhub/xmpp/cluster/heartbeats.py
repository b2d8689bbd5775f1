"""How long other nodes have been silent, by this node's own monotonic clock.

A node writes its heartbeat again and again; each write gives the key another cursor. A node that
sees such a change knows that the other node has been alive since the previous read. No wall clock
takes part, neither a node's nor the store's: a step of a clock makes no node look dead, and no dead
node look alive.

Time counts in rounds: a node that stood still, or could not reach the store, did not watch
meanwhile, and knows nothing about the silence of others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pushhub.log.cursor import Cursor


@dataclass(slots=True)
class _Heartbeat:
    cursor: Cursor
    is_last: bool
    at: float
    """When this node first saw it, in seconds of watching."""


class Heartbeats:
    """The last heartbeat of each other node. A node is remembered only after the store had its
    heartbeat, so names that clients invent cannot fill the memory."""

    __slots__ = ("_beats", "_watched")

    def __init__(self) -> None:
        self._beats: dict[str, _Heartbeat] = {}
        self._watched = 0.0

    def advance(self, seconds: float) -> None:
        """Count a round, and the time since the previous one."""
        self._watched += seconds

    def record(self, node: str, cursor: Cursor, *, is_last: bool) -> None:
        """Record the heartbeat of a node. The last heartbeat says that the node has left. A
        heartbeat before the known one comes from the hub's memory, which may be late."""
        beat = self._beats.get(node)
        if beat is None or _is_later(cursor, beat.cursor):
            self._beats[node] = _Heartbeat(cursor, is_last, self._watched)

    def silence(self, node: str) -> float | None:
        """The seconds since a node's heartbeat last changed; None if it never had one."""
        beat = self._beats.get(node)
        return None if beat is None else self._watched - beat.at

    def has_left(self, node: str) -> bool:
        """Whether a node has announced its end."""
        beat = self._beats.get(node)
        return beat is not None and beat.is_last

    def nodes(self) -> frozenset[str]:
        """The nodes with a recorded heartbeat."""
        return frozenset(self._beats)

    def forget(self, node: str) -> None:
        """Forget a node whose heartbeat the store no longer has."""
        self._beats.pop(node, None)

    def __len__(self) -> int:
        return len(self._beats)

    def __repr__(self) -> str:
        return f"<Heartbeats of {len(self._beats)} nodes, {self._watched:.0f} s watched>"


def _is_later(cursor: Cursor, than: Cursor) -> bool:
    """Whether a heartbeat is neither the known one nor before it. Epochs have no order here."""
    return cursor.epoch != than.epoch or cursor.offset > than.offset
