"""The nodes that owners have created or configured: an index, since a channel without events is not
listed by the store."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from pushhub.xmpp.storage.key_value import register_name

if TYPE_CHECKING:
    from pushhub.xmpp.storage.key_value import KeyValueStore

# The index lies in so many registers, so that none grows beyond what one holds (256 KiB): about
# 100,000 nodes.
SHARDS = 16


async def created(registers: KeyValueStore) -> set[str]:
    """The names of all of them.

    Raises:
        StoreError: the store cannot be read now.
    """
    shards = [await registers.json(_name(f"{shard:x}")) for shard in range(SHARDS)]
    return {node for shard in shards for node in shard or ()}


async def index(registers: KeyValueStore, node: str, *, present: bool) -> None:
    """Add a node to the index, or take it out.

    Raises:
        StoreError: the store cannot be written now, or the index is full.
    """

    def make(old: Any) -> Any:
        nodes = set(old or ())
        if (node in nodes) == present:
            return None
        return sorted(nodes | {node} if present else nodes - {node})

    shard = hashlib.sha256(node.encode()).hexdigest()[0]
    await registers.change_json(_name(shard), make)


def _name(shard: str) -> str:
    return register_name("nodes", shard)
