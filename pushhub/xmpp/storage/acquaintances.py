"""The senders that an account knows: its contacts, and the addresses to which it has written.

All other senders are strangers. A subscription request alone makes no contact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pushhub.xmpp.storage.key_value import event_json, internal_name
from pushhub.xmpp.storage.roster import contacts_of, roster_key

if TYPE_CHECKING:
    from pushhub.log.event import Event
    from pushhub.xmpp.storage.key_value import KeyValueStore

# Addresses that one account has written to without a contact: the oldest are forgotten. With
# addresses of 60 characters these are 60 kB of the 256 KiB that one value may have.
MAX_PEERS = 1000
# Peers with longer addresses are not recorded, so that a value stays below its limit.
MAX_PEER_BYTES = 200
# Addresses of parsed values in memory, of all accounts together: about 150 bytes each.
MAX_PARSED = 50_000


def peers_key(bare: str) -> str:
    """The key of the addresses to which an account has written."""
    return internal_name("peers", bare)


class Acquaintances:
    """Who knows whom, on one node."""

    __slots__ = ("_count", "_kv", "_parsed")

    def __init__(self, kv: KeyValueStore) -> None:
        self._kv = kv
        # Key → its last event and the addresses in it. Each message needs them, and most senders
        # are contacts, so that a search of the bytes would not be enough.
        self._parsed: dict[str, tuple[Event, frozenset[str]]] = {}
        self._count = 0

    def keys(self, bare: str) -> tuple[str, str]:
        """The keys whose events `knows` needs."""
        return roster_key(bare), peers_key(bare)

    def knows(self, bare: str, sender: str, roster: Event | None, peers: Event | None) -> bool:
        """Whether an account knows a sender; both are bare addresses."""
        return (
            sender == bare
            or sender in self._addresses(roster_key(bare), roster)
            or sender in self._addresses(peers_key(bare), peers)
        )

    async def record(self, bare: str, peer: str) -> None:
        """An account has written to a peer.

        Raises:
            StoreError: the store is unavailable.
        """
        events = [await self._kv.event(key) for key in self.keys(bare)]
        if self.knows(bare, peer, *events) or len(peer.encode()) > MAX_PEER_BYTES:
            return

        def make(old: Any) -> Any:
            if old is not None and peer in old:
                return None
            return [*(old or ()), peer][-MAX_PEERS:]

        await self._kv.update_json(peers_key(bare), make)

    def _addresses(self, key: str, event: Event | None) -> frozenset[str]:
        if event is None:
            return frozenset()
        parsed = self._parsed.get(key)
        if parsed is not None and parsed[0] is event:
            return parsed[1]
        value = event_json(event) or ()
        addresses = contacts_of(value) if isinstance(value, dict) else frozenset(value)
        self._forget(key)
        self._parsed[key] = event, addresses
        self._count += 1 + len(addresses)
        while self._count > MAX_PARSED and len(self._parsed) > 1:
            self._forget(next(iter(self._parsed)))
        return addresses

    def _forget(self, key: str) -> None:
        parsed = self._parsed.pop(key, None)
        if parsed is not None:
            self._count -= 1 + len(parsed[1])

    def __repr__(self) -> str:
        return f"<Acquaintances {self._count} addresses>"
