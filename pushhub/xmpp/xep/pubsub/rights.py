"""Access to channels: a session's grant, and the affiliations and access model of the node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pushhub.log.channel import ChannelNameError, public_name
from pushhub.log.grant import EVERYTHING, Action, Grant
from pushhub.xmpp.model.stanza import StanzaError
from pushhub.xmpp.storage.key_value import internal_name
from pushhub.xmpp.xep.pubsub.errors import error

if TYPE_CHECKING:
    from pushhub.xmpp.context import Context
    from pushhub.xmpp.routing.extension import IqRequest
    from pushhub.xmpp.routing.session import XmppSession

# XEP-0060 §4.1. The actions that each affiliation adds to a grant.
AFFILIATION_ACTIONS: dict[str, frozenset[Action]] = {
    "owner": frozenset(Action),
    "publisher": frozenset({Action.READ, Action.PUBLISH}),
    "member": frozenset({Action.READ}),
    "outcast": frozenset(),
    "none": frozenset(),
}


def node_key(node: str) -> str:
    """The key of a node's record: the settings of its owners."""
    return internal_name("node", node)


async def node_record(context: Context, node: str) -> dict[str, Any]:
    """A node's record: `title`, `description`, `access`, `last`, and `affiliations`."""
    return await context.kv.json(node_key(node)) or {}


def requested_node(request: IqRequest, element_name: str) -> str:
    """The channel that a request names.

    Raises:
        StanzaError: the request names no channel.
    """
    element = request.payload.find(element_name)
    node = element.get("node") if element is not None else None
    if not node:
        raise error("bad-request", "nodeid-required", "Name the node, which is a channel.")
    return checked_name(node)


def checked_name(node: str) -> str:
    """A valid channel name.

    Raises:
        StanzaError: the name is invalid.
    """
    try:
        return public_name(node)
    except ChannelNameError as wrong:
        raise StanzaError("item-not-found", str(wrong)) from None


async def require(request: IqRequest, action: Action, node: str) -> dict[str, Any]:
    """Return the node's record, if the sender may perform the action.

    Raises:
        StanzaError: forbidden.
    """
    record = await node_record(request.context, node)
    if not is_allowed(request.context, request.session, action, node, record):
        raise StanzaError("forbidden", f"Your grants do not let you {action.value} this channel.")
    return record


def grant_of(context: Context, session: XmppSession) -> Grant:
    """A session's grant."""
    return EVERYTHING if context.policy.dev else session.identity.grant


def is_allowed(
    context: Context, session: XmppSession, action: Action, node: str, record: dict[str, Any]
) -> bool:
    """Whether a session may perform an action on a channel."""
    affiliation = record.get("affiliations", {}).get(session.jid.bare, "none")
    if affiliation == "outcast":
        return False
    if action in AFFILIATION_ACTIONS[affiliation]:
        return True
    grant = grant_of(context, session)
    if grant.expires is not None and context.hub.clock() >= grant.expires:
        return False
    if action is Action.READ and record.get("access") == "whitelist":
        return grant.allows(Action.MANAGE, node)
    if action is Action.READ and context.policy.is_public(node):
        return True
    return grant.allows(action, node)
