"""PubSub (XEP-0060): each node is a channel of the hub.

Subscribers are notified of events that REST publishes, and an item that PubSub publishes is an
event for REST. No node must be created first: a channel exists as soon as a client may read it.
Events are immutable, so a retraction is an event of its own, of the type `retract`.
"""

from __future__ import annotations

from inspect import iscoroutine
from typing import TYPE_CHECKING

from pushhub.auth.audit import AuditActor
from pushhub.xmpp.model.namespaces import DISCO_INFO, DISCO_ITEMS, PUBSUB, PUBSUB_OWNER
from pushhub.xmpp.model.stanza import StanzaError
from pushhub.xmpp.routing.extension import PUBSUB as SERVICE
from pushhub.xmpp.routing.extension import Extension, IqHandler, IqRequest, IqResult
from pushhub.xmpp.xep.pubsub import discovery, items, owner
from pushhub.xmpp.xep.pubsub.errors import unsupported
from pushhub.xmpp.xep.pubsub.subscriptions import NodeSubscriptions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pushhub.xmpp.routing.cluster import Cluster
    from pushhub.xmpp.xep.pubsub.subscribers import Subscribers

# By the iq's type and the first element in `<pubsub/>`.
OWNER_ACTIONS: Mapping[tuple[str, str], IqHandler] = {
    ("get", "configure"): owner.configuration,
    ("set", "configure"): owner.configure,
    ("get", "default"): owner.default,
    ("set", "delete"): owner.delete,
    ("get", "affiliations"): owner.affiliations,
    ("set", "affiliations"): owner.affiliate,
}


def _actions(subscriptions: NodeSubscriptions) -> Mapping[tuple[str, str], IqHandler]:
    return {
        ("set", "subscribe"): subscriptions.subscribe,
        ("set", "unsubscribe"): subscriptions.unsubscribe,
        ("get", "subscriptions"): subscriptions.listed,
        ("get", "affiliations"): owner.own_affiliations,
        ("get", "items"): items.read,
        ("set", "publish"): items.publish,
        ("set", "retract"): items.retract,
        ("set", "create"): owner.create,
        ("get", "default"): owner.default,
    }


# The requests that change a node, and their names in the audit log.
AUDITED: Mapping[tuple[str, str], str] = {
    ("set", "create"): "pubsub.create",
    ("set", "configure"): "pubsub.configure",
    ("set", "delete"): "pubsub.delete",
    ("set", "affiliations"): "pubsub.affiliate",
}


# Other errors mean that the request was wrong, and nothing was changed.
REFUSALS = ("forbidden", "not-allowed", "not-authorized")


def _audit(request: IqRequest, action: str, node: str, error: StanzaError | None = None) -> None:
    audit = request.context.audit
    actor = AuditActor("account", request.session.jid.bare, is_user=True)
    if error is None:
        audit.record(action, actor, node)
    elif error.condition in REFUSALS:
        audit.refuse(actor, error.condition, node, action=action, target_type="channel")


def _dispatch(actions: Mapping[tuple[str, str], IqHandler]) -> IqHandler:
    async def act(request: IqRequest) -> IqResult:
        kind = request.iq.get("type") or ""
        payload = request.payload
        elements = [e for e in payload.elements if e.namespace == payload.namespace]
        if not elements:
            raise StanzaError("bad-request", "The request needs an action.")
        handler = actions.get((kind, elements[0].name))
        if handler is None:
            raise unsupported(elements[0].name)
        # The other elements of `<pubsub/>` belong to the first: options, a configuration.
        action = AUDITED.get((kind, elements[0].name))
        if action is None:
            handled = handler(request)
            return await handled if iscoroutine(handled) else handled  # type: ignore[return-value]
        node = elements[0].get("node") or ""
        try:
            handled = handler(request)
            result = await handled if iscoroutine(handled) else handled
        except StanzaError as error:
            _audit(request, action, node, error)
            raise
        _audit(request, action, node)
        return result  # type: ignore[return-value]

    return act


def extension(cluster: Cluster, subscribers: Subscribers) -> Extension:
    actions = _dispatch(_actions(NodeSubscriptions(cluster, subscribers)))
    owner_actions = _dispatch(OWNER_ACTIONS)
    return Extension(
        {
            (SERVICE, "get", PUBSUB, "pubsub"): actions,
            (SERVICE, "set", PUBSUB, "pubsub"): actions,
            (SERVICE, "get", PUBSUB_OWNER, "pubsub"): owner_actions,
            (SERVICE, "set", PUBSUB_OWNER, "pubsub"): owner_actions,
            (SERVICE, "get", DISCO_INFO, "query"): discovery.about,
            (SERVICE, "get", DISCO_ITEMS, "query"): discovery.ChannelListing().items,
        }
    )
