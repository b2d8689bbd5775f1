"""Block lists (XEP-0191): addresses that cannot reach an account, and that it cannot reach.

Each stanza from one account to another is checked against them: in the routers of messages,
presence, subscriptions and iqs, and for notifications of the PubSub service.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import orjson

from pushhub.xmpp.model import namespaces as ns
from pushhub.xmpp.model.stanza import StanzaError, leaf
from pushhub.xmpp.storage.key_value import internal_name

if TYPE_CHECKING:
    from pushhub.log.event import Event
    from pushhub.xmpp.model.jid import Jid


@lru_cache(maxsize=16_384)
def blocklist_key(bare: str) -> str:
    """The key of an account's block list."""
    return internal_name("block", bare)


def blocks(event: Event | None, jid: Jid) -> bool:
    """Whether a block list names an address, its account or its domain (XEP-0191 §6)."""
    if event is None or not event.data:
        return False
    return contains(orjson.loads(event.data), jid)


def contains(listed: list[str], jid: Jid) -> bool:
    """`blocks`, for the parsed list."""
    domain = jid.domain
    return any(text in listed for text in (jid.text, jid.bare, domain, f"{domain}/{jid.resource}"))


def blocked_by_sender() -> StanzaError:
    """The error for an account that sends to an address on its own block list (XEP-0191 §3.3)."""
    blocked = leaf("blocked", ns.BLOCKING_ERRORS)
    return StanzaError("not-acceptable", "You have blocked this address.", blocked)
