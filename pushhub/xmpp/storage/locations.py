"""Keys that routing reads on each message: accounts, and on which node an account's sessions
are."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import orjson

from pushhub.xmpp.storage.key_value import internal_name

if TYPE_CHECKING:
    from collections.abc import Container

    from pushhub.log.event import Event
    from pushhub.xmpp.model.jid import Jid


def account_key(jid: Jid) -> str:
    """The key of an account."""
    return _account_key(jid.bare)


@lru_cache(maxsize=16_384)
def _account_key(bare: str) -> str:
    return internal_name("account", bare)


def locations_key(bare: str) -> str:
    """The key of an account's session locations: the node of each resource."""
    return internal_name("where", bare)


def resources_in(locations: Event | None) -> Container[str]:
    """The resources that a value of `locations_key` names."""
    return orjson.loads(locations.data) if locations is not None and locations.data else ()
