"""An index of the nodes that owners created or configured: the store does not list channels without
events."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from pushhub.xmpp.storage.key_value import internal_name

if TYPE_CHECKING:
    from pushhub.xmpp.storage.key_value import KeyValueStore

# The index is split over so many values, so that none exceeds the limit of one (256 KiB): about
# 100,000 nodes.
SHARDS = 16


async def created_nodes(kv: KeyValueStore) -> set[str]:
    """The names of all indexed nodes.

    Raises:
        StoreError: the store cannot be read.
    """
    shards = [await kv.json(_key(f"{shard:x}")) for shard in range(SHARDS)]
    return {node for shard in shards for node in shard or ()}


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
