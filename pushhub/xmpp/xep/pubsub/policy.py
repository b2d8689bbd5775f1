"""The policy of a node, which its owners set: affiliations and an access model (XEP-0060 §4).

The policy is data of the protocol. It is compiled into a `ChannelAccess`, so that the check of
rights is the same as for REST.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pushhub.log.grant import Action, ChannelAccess

if TYPE_CHECKING:
    from collections.abc import Mapping

OUTCAST = "outcast"
NO_AFFILIATION = "none"

# XEP-0060 §4.1. The actions that each affiliation adds to a grant; an outcast may do nothing.
AFFILIATION_ACTIONS: Mapping[str, tuple[Action, ...]] = {
    "owner": (Action.READ, Action.PUBLISH, Action.MANAGE),
    "publisher": (Action.READ, Action.PUBLISH),
    "member": (Action.READ,),
    OUTCAST: (),
    NO_AFFILIATION: (),
}

# XEP-0060 §4.5. Under `whitelist` only affiliated accounts read, and those that may manage.
OPEN = "open"
WHITELIST = "whitelist"


def _compiled(affiliation: str, *, is_open: bool, is_public: bool) -> ChannelAccess:
    added = AFFILIATION_ACTIONS[affiliation]
    if is_open and is_public and Action.READ not in added:
        added = (Action.READ, *added)
    return ChannelAccess(added, is_restricted=not is_open, is_denied=affiliation == OUTCAST)


_COMPILED = {
    (is_open, is_public): {
        affiliation: _compiled(affiliation, is_open=is_open, is_public=is_public)
        for affiliation in AFFILIATION_ACTIONS
    }
    for is_open in (False, True)
    for is_public in (False, True)
}


@dataclass(frozen=True, slots=True)
class NodePolicy:
    """The affiliations of a node by bare address, and what its access model decides about all
    accounts: `by_affiliation`.
    """

    affiliations: Mapping[str, str]
    by_affiliation: Mapping[str, ChannelAccess]

    def access(self, bare: str) -> ChannelAccess:
        """What the node decides about an account."""
        return self.by_affiliation[self.affiliations.get(bare, NO_AFFILIATION)]


def policy_of(record: Mapping[str, Any] | None, *, is_public: bool) -> NodePolicy:
    """The policy in a node's record, or that of a node without one. Every client may read an open
    node if the settings make its channel public: `is_public`.
    """
    known = record or {}
    is_open = known.get("access", OPEN) != WHITELIST
    return NodePolicy(known.get("affiliations", {}), _COMPILED[is_open, is_public])
