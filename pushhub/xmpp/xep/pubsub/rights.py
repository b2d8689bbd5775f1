"""Who may do what with a channel: what grants allow, and what its owners have said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pushhub.log.channel import ChannelNameError, public_name
from pushhub.log.grant import Action
from pushhub.xmpp.model.stanza import StanzaError
from pushhub.xmpp.storage.key_value import register_name
from pushhub.xmpp.xep.pubsub.errors import error

if TYPE_CHECKING:
    from pushhub.xmpp.model.extension import Query
    from pushhub.xmpp.routing.session import XmppSession
    from pushhub.xmpp.server import XmppServer

# XEP-0060 §4.1. What each affiliation adds to a grant.
GIVES: dict[str, frozenset[Action]] = {
    "owner": frozenset(Action),
    "publisher": frozenset({Action.READ, Action.PUBLISH}),
    "member": frozenset({Action.READ}),
    "outcast": frozenset(),
    "none": frozenset(),
}


def node_name(node: str) -> str:
    """The register of what owners have said of a channel."""
    return register_name("node", node)


async def record_of(server: XmppServer, node: str) -> dict[str, Any]:
    """What owners have said: `title`, `description`, `access`, `last`, and `affiliations`."""
    return await server.registers.json(node_name(node)) or {}


def named(query: Query, element_name: str) -> str:
    """The channel that a request names.

    Raises:
        StanzaError: it names none.
    """
    element = query.payload.find(element_name)
    node = element.get("node") if element is not None else None
    if not node:
        raise error("bad-request", "nodeid-required", "Name the node, which is a channel.")
    return checked(node)


def checked(node: str) -> str:
    """A name that a channel can have.

    Raises:
        StanzaError: none can.
    """
    try:
        return public_name(node)
    except ChannelNameError as wrong:
        raise StanzaError("item-not-found", str(wrong)) from None


async def require(query: Query, action: Action, node: str) -> dict[str, Any]:
    """Return what owners have said of the node, if the sender may do that.

    Raises:
        StanzaError: forbidden.
    """
    record = await record_of(query.server, node)
    if not may(query.server, query.session, action, node, record):
        raise StanzaError("forbidden", f"Your grants do not let you {action.value} this channel.")
    return record


def may(
    server: XmppServer, session: XmppSession, action: Action, node: str, record: dict[str, Any]
) -> bool:
    """Whether a session may do that with a channel."""
    affiliation = record.get("affiliations", {}).get(session.jid.bare, "none")
    if affiliation == "outcast":
        return False
    if action in GIVES[affiliation]:
        return True
    grant = server.grant(session)
    if grant.expires is not None and server.hub.clock() >= grant.expires:
        return False
    if action is Action.READ and record.get("access") == "whitelist":
        return grant.allows(Action.MANAGE, node)
    if action is Action.READ and server.settings.is_public(node):
        return True
    return grant.allows(action, node)
