"""An index of the nodes that owners created or configured: the store does not list channels without
events."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from pushhub.xmpp.storage.key_value import event_json, internal_name

if TYPE_CHECKING:
    from pushhub.log.cursor import Cursor
    from pushhub.xmpp.storage.key_value import KeyValueStore

# The index is split over so many values, so that none exceeds the limit of one (256 KiB): about
# 100,000 nodes.
SHARDS = 16


class NodeIndex:
    """The names of all indexed nodes, which many requests need and few change."""

    __slots__ = ("_at", "_names")

    def __init__(self) -> None:
        self._at: list[Cursor | None] = []
        self._names: list[str] = []

    async def sorted(self, kv: KeyValueStore) -> list[str]:
        """The names in the order of the store, by code points.

        Raises:
            StoreError: the store cannot be read.
        """
        events = [await kv.event(_key(f"{shard:x}")) for shard in range(SHARDS)]
        cursors = [None if event is None else event.cursor for event in events]
        if cursors != self._at:
            names = [name for event in events for name in event_json(event) or ()]
            self._names = sorted(names)
            self._at = cursors
        return self._names


async def set_indexed(kv: KeyValueStore, node: str, *, present: bool) -> None:
    """Add a node to the index, or remove it.

    Raises:
        StoreError: the store cannot be written, or the index is full.
    """

    def make(old: Any) -> Any:
        nodes = set(old or ())
        if (node in nodes) == present:
            return None
        return sorted(nodes | {node} if present else nodes - {node})

    shard = hashlib.sha256(node.encode()).hexdigest()[0]
    await kv.update_json(_key(shard), make)


def _key(shard: str) -> str:
    return internal_name("nodes", shard)
