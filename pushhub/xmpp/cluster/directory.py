"""The directory of sessions: for each account, the node of each of its resources.

A single node needs none. An anonymous account is found by the node id in its address, until its
session migrates; then it has an entry, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pushhub.xmpp.storage.locations import locations_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pushhub.xmpp.cluster.membership import Membership
    from pushhub.xmpp.model.jid import Jid
    from pushhub.xmpp.routing.session import XmppSession
    from pushhub.xmpp.storage.key_value import KeyValueStore


class SessionDirectory:
    """The locations of sessions, in the key-value store."""

    def __init__(self, kv: KeyValueStore, membership: Membership) -> None:
        self._kv = kv
        self._membership = membership

    async def add(self, session: XmppSession, *, migrated: bool = False) -> None:
        """Enter a session of this node, and evict another of its address on another node. A
        `migrated` session was on another node before.

        Raises:
            StoreError: the store cannot be written.
        """
        membership = self._membership
        if not membership.shared or (session.user.anonymous and not migrated):
            return
        resource, here = session.jid.resource, session.user.sessions
        other: str | None = None

        def make(old: Any) -> Any:
            nonlocal other
            other = (old or {}).get(resource)
            # Without sessions of this node that ended while the store was away.
            true = {
                r: node for r, node in (old or {}).items() if node != membership.id or r in here
            }
            return {**true, resource: membership.id}

        locations = await self._kv.update_json(locations_key(session.jid.bare), make)
        if other is not None and other != membership.id and not migrated:
            await membership.post(other, "conflict", {"jid": session.jid.text})
        if any(node != membership.id for node in locations.values()):
            await self._remove_dead(session.jid.bare, locations)

    async def remove(self, session: XmppSession) -> None:
        """Remove an ended session.

        Raises:
            StoreError: the store cannot be written.
        """
        membership = self._membership
        anonymous = session.user.anonymous
        if not membership.shared or (anonymous and membership.node_of(session.jid.local) is None):
            return
        resource = session.jid.resource
        if resource in session.user.sessions:
            return  # Another session has bound the resource since.

        def make(old: Any) -> Any:
            if not old or old.get(resource) != membership.id:
                return None
            return {name: node for name, node in old.items() if name != resource}

        key = locations_key(session.jid.bare)
        left = await self._kv.update_json(key, make)
        if anonymous and not left:
            # No other session ever gets this address.
            await self._kv.delete(key)

    async def _remove_dead(self, bare: str, locations: Mapping[str, str]) -> None:
        """Remove the sessions of dead nodes."""
        membership = self._membership
        others = set(locations.values()) - {membership.id}
        dead = {node for node in others if not await membership.is_alive(node)}

        def make(old: Any) -> Any:
            left = {name: node for name, node in (old or {}).items() if node not in dead}
            return left if left != old else None

        await self._kv.update_json(locations_key(bare), make)

    async def other_nodes(self, bare: str) -> set[str]:
        """The other nodes with sessions of an account."""
        membership = self._membership
        if not membership.shared:
            return set()
        tagged = membership.node_of(bare.rpartition("@")[0])
        if tagged is not None and await membership.is_alive(tagged):
            return {tagged}
        locations = await self._kv.json(locations_key(bare)) or {}
        return set(locations.values()) - {membership.id}

    async def find(self, to: Jid) -> str | None:
        """The other node with the session of a full address; None if no live node has the
        session."""
        membership = self._membership
        node = membership.node_of(to.local)
        if node is None or not await membership.is_alive(node):
            locations = await self._kv.json(locations_key(to.bare)) or {}
            node = locations.get(to.resource)
        if node is None or node == membership.id or not await membership.is_alive(node):
            return None
        return str(node)
