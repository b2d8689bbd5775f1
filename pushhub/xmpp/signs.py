"""How long other nodes have been silent, by this node's own monotonic clock.

A node writes its sign again and again; each write gives the register another cursor. A node that
sees such a change knows that the other node has been there since the look before. No wall clock
takes part, neither a node's nor the store's, so a step of a clock makes no node look dead, and no
dead node look alive.

Time counts in rounds: a node that stood still, or could not reach the store, did not watch
meanwhile, and knows nothing of the silence of others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pushhub.protocol.cursor import Cursor


@dataclass(slots=True)
class _Sign:
    cursor: Cursor
    is_last: bool
    at: float
    """When this node saw it first, in seconds of watching."""


class Signs:
    """The last sign of each other node. Only nodes whose sign was in the store are remembered, so
    strangers cannot make this grow."""

    __slots__ = ("_signs", "_watched")

    def __init__(self) -> None:
        self._signs: dict[str, _Sign] = {}
        self._watched = 0.0

    def watched(self, seconds: float) -> None:
        """Count a round, and the time since the one before."""
        self._watched += seconds

    def see(self, node: str, cursor: Cursor, *, is_last: bool) -> None:
        """Note the sign of a node. A last sign says that the node has left. A sign from before the
        known one comes from memory, where the news may be late."""
        sign = self._signs.get(node)
        if sign is None or _is_later(cursor, sign.cursor):
            self._signs[node] = _Sign(cursor, is_last, self._watched)

    def silent(self, node: str) -> float | None:
        """The seconds since the last change of a node's sign; None if there never was a sign."""
        sign = self._signs.get(node)
        return None if sign is None else self._watched - sign.at

    def has_left(self, node: str) -> bool:
        """Whether a node has said that it leaves."""
        sign = self._signs.get(node)
        return sign is not None and sign.is_last

    def nodes(self) -> frozenset[str]:
        """The nodes of which there was a sign."""
        return frozenset(self._signs)

    def forget(self, node: str) -> None:
        """Forget a node: the store has its sign no longer."""
        self._signs.pop(node, None)

    def __len__(self) -> int:
        return len(self._signs)

    def __repr__(self) -> str:
        return f"<Signs of {len(self._signs)} nodes, {self._watched:.0f} s watched>"


def _is_later(cursor: Cursor, than: Cursor) -> bool:
    """Whether a sign is not the known one, and not from before it. Epochs have no order here."""
    return cursor.epoch != than.epoch or cursor.offset > than.offset
