"""What all parts of the XMPP server share. Everything else is injected by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from pushhub.auth.audit import AuditLog
    from pushhub.hub.hub import Hub
    from pushhub.store.base import Retention
    from pushhub.xmpp.model.policy import XmppPolicy
    from pushhub.xmpp.storage.key_value import KeyValueStore

# Each domain has its PubSub service under this name; Prosody's and ejabberd's documentation use it.
PUBSUB_HOST = "pubsub"


def pubsub_service(domain: str) -> str:
    """The address of a domain's PubSub service."""
    return f"{PUBSUB_HOST}.{domain}"


@dataclass(slots=True)
class Context:
    """The hub, the key-value store, the settings and the task runner of one server. A reload
    replaces `policy` and `retention`.
    """

    hub: Hub
    kv: KeyValueStore
    policy: XmppPolicy
    domains: frozenset[str]
    """The domains that this server serves."""
    services: frozenset[str]
    """The addresses of their PubSub services."""
    retention: Callable[[str], Retention]
    """The retention of a channel, by its name."""
    random_bytes: Callable[[int], bytes]
    """Returns that many unpredictable bytes."""
    audit: AuditLog
    """Records management actions and refusals."""
    counted_network: Callable[[str], str]
    """The network under which limits count a client; empty if they do not count its address."""
    spawn: Callable[[Coroutine[None, None, None]], None]
    """Runs a coroutine in the background; the server awaits its end before it closes."""

    def new_id(self) -> str:
        """An unpredictable id: for a resource or a request."""
        return self.random_bytes(9).hex()
