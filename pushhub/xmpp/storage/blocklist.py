"""Block lists (XEP-0191): who must not reach an account, and whom it does not reach itself.

They are asked wherever a stanza goes from one account to another: in `messages`, `presences`,
`subscriptions`, `queries`, and for what the PubSub service tells.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import orjson

from pushhub.xmpp.model import namespaces as ns
from pushhub.xmpp.model.stanza import StanzaError, leaf
from pushhub.xmpp.storage.key_value import register_name

if TYPE_CHECKING:
    from pushhub.log.event import Event
    from pushhub.xmpp.model.jid import Jid


@lru_cache(maxsize=16_384)
def block_name(bare: str) -> str:
    """The register of an account's block list."""
    return register_name("block", bare)


def blocks(event: Event | None, jid: Jid) -> bool:
    """Whether a block list names an address, its account or its domain (XEP-0191 §6)."""
    if event is None or not event.data:
        return False
    return is_named(orjson.loads(event.data), jid)


def is_named(listed: list[str], jid: Jid) -> bool:
    """`blocks`, of the list itself."""
    domain = jid.domain
    return any(text in listed for text in (jid.text, jid.bare, domain, f"{domain}/{jid.resource}"))


def own_block() -> StanzaError:
    """What an account is told that sends to whom it has blocked (XEP-0191 §3.3)."""
    blocked = leaf("blocked", ns.BLOCKING_ERRORS)
    return StanzaError("not-acceptable", "You have blocked this address.", blocked)
