"""PubSub (XEP-0060), where a node is a channel of the hub.

What REST publishes is notified here, and what is published here is an event that REST reads. There
is nothing to be created first: a channel is there as soon as somebody may read it. An event stays
as it is, so a retraction is an event of its own, of the type `retract`.
"""

from __future__ import annotations

from inspect import iscoroutine
from typing import TYPE_CHECKING

from pushhub.xmpp.model.extension import PUBSUB as HERE
from pushhub.xmpp.model.extension import Answered, Extension, Handler, Query
from pushhub.xmpp.model.namespaces import DISCO_INFO, DISCO_ITEMS, PUBSUB, PUBSUB_OWNER
from pushhub.xmpp.model.stanza import StanzaError
from pushhub.xmpp.xep.pubsub import discovery, items, owner, subscriptions
from pushhub.xmpp.xep.pubsub.errors import unsupported
from pushhub.xmpp.xep.pubsub.feeds import Feeds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pushhub.xmpp.server import XmppServer

# What the first element in `<pubsub/>` says is to be done, by the iq's type.
ACTIONS: Mapping[tuple[str, str], Handler] = {
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

OWNER_ACTIONS: Mapping[tuple[str, str], Handler] = {
    ("get", "configure"): owner.configuration,
    ("set", "configure"): owner.configure,
    ("get", "default"): owner.default,
    ("set", "delete"): owner.delete,
    ("get", "affiliations"): owner.affiliations,
    ("set", "affiliations"): owner.affiliate,
}


def _dispatch(actions: Mapping[tuple[str, str], Handler]) -> Handler:
    async def act(query: Query) -> Answered:
        kind = query.iq.get("type") or ""
        elements = [e for e in query.payload.elements if e.namespace == query.payload.namespace]
        if not elements:
            raise StanzaError("bad-request", "The request needs an action.")
        handler = actions.get((kind, elements[0].name))
        if handler is None:
            raise unsupported(elements[0].name)
        # The rest of `<pubsub/>` belongs to it: options, a configuration.
        answered = handler(query)
        return await answered if iscoroutine(answered) else answered  # type: ignore[return-value]

    return act


def begin(server: XmppServer) -> None:
    server.feeds = Feeds(server)


EXTENSION = Extension(
    {
        (HERE, "get", PUBSUB, "pubsub"): _dispatch(ACTIONS),
        (HERE, "set", PUBSUB, "pubsub"): _dispatch(ACTIONS),
        (HERE, "get", PUBSUB_OWNER, "pubsub"): _dispatch(OWNER_ACTIONS),
        (HERE, "set", PUBSUB_OWNER, "pubsub"): _dispatch(OWNER_ACTIONS),
        (HERE, "get", DISCO_INFO, "query"): discovery.about,
        (HERE, "get", DISCO_ITEMS, "query"): discovery.items,
    },
    begin=begin,
)
