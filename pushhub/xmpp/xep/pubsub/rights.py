"""Access to channels: a session's grant, and the policy of the node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pushhub.log.channel import ChannelNameError, public_name
from pushhub.log.grant import EVERYTHING, Grant, is_allowed
from pushhub.xmpp.model.stanza import StanzaError
from pushhub.xmpp.storage.key_value import internal_name
from pushhub.xmpp.xep.pubsub.errors import error
from pushhub.xmpp.xep.pubsub.policy import policy_of

if TYPE_CHECKING:
    from pushhub.log.grant import Action
    from pushhub.xmpp.context import Context
    from pushhub.xmpp.routing.extension import IqRequest
    from pushhub.xmpp.routing.session import XmppSession
    from pushhub.xmpp.xep.pubsub.policy import NodePolicy


def node_key(node: str) -> str:
    """The key of a node's record: the settings of its owners."""
    return internal_name("node", node)


async def node_record(context: Context, node: str) -> dict[str, Any]:
    """A node's record: `title`, `description`, `access`, `last`, and `affiliations`."""
    return await context.kv.json(node_key(node)) or {}


def node_policy(context: Context, node: str, record: dict[str, Any] | None) -> NodePolicy:
    """The policy of a node with this record."""
    return policy_of(record, is_public=context.policy.is_public(node))


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
    policy = node_policy(request.context, node, record)
    if not may(request.context, request.session, action, node, policy):
        raise StanzaError("forbidden", f"Your grants do not let you {action.value} this channel.")
    return record


def grant_of(context: Context, session: XmppSession) -> Grant:
    """A session's grant."""
    return EVERYTHING if context.policy.dev else session.identity.grant


def may(
    context: Context, session: XmppSession, action: Action, node: str, policy: NodePolicy
) -> bool:
    """Whether a session may perform an action on a channel now."""
    access = policy.access(session.jid.bare)
    return is_allowed(grant_of(context, session), action, node, context.hub.clock(), access)
