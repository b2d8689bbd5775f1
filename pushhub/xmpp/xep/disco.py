"""Service discovery (XEP-0030): identities and features of the server, its accounts and its
nodes."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

from pushhub.xml import Element
from pushhub.xmpp.context import pubsub_service
from pushhub.xmpp.model.features import CAPS_NODE
from pushhub.xmpp.model.namespaces import DISCO_INFO, DISCO_ITEMS
from pushhub.xmpp.model.stanza import StanzaError, leaf
from pushhub.xmpp.routing.extension import ACCOUNTS, DOMAIN, Extension, IqRequest
from pushhub.xmpp.storage.locations import account_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pushhub.xmpp.storage.roster import Rosters

# Converse.js requests the items of a domain only if the domain is a server.
IDENTITY = ("server", "im", "pushhub")


def info(
    identities: Iterable[tuple[str, str, str]], features: Iterable[str], node: str | None = None
) -> Element:
    """An info result: the identities (category, type, name) and features of an entity."""
    children = [
        leaf("identity", DISCO_INFO, category=category, type=kind, name=name)
        for category, kind, name in identities
    ]
    children += [leaf("feature", DISCO_INFO, var=feature) for feature in features]
    return Element("query", DISCO_INFO, {"node": node} if node else {}, tuple(children))


def items(listed: Iterable[dict[str, str]], node: str | None = None, *more: Element) -> Element:
    """An items result: the entities that belong to an entity."""
    children = [leaf("item", DISCO_ITEMS, **item) for item in listed]
    return Element("query", DISCO_ITEMS, {"node": node} if node else {}, (*children, *more))


def domain_features(extensions: Iterable[Extension]) -> list[str]:
    """The features of a domain, sorted."""
    features = [feature for each in extensions for feature in each.domain_features]
    return sorted({DISCO_INFO, DISCO_ITEMS, *features})


def caps_version(extensions: Iterable[Extension]) -> str:
    """The verification string of entity capabilities (XEP-0115 §5.1): a hash of the server's
    features, which clients need to query only once. It is SHA-1, the algorithm that all clients
    know."""
    category, kind, name = IDENTITY
    text = f"{category}/{kind}//{name}<" + "".join(f"{f}<" for f in domain_features(extensions))
    return base64.b64encode(hashlib.sha1(text.encode(), usedforsecurity=False).digest()).decode()


class Discovery:
    """Responds for domains and accounts."""

    def __init__(self, rosters: Rosters, extensions: Sequence[Extension]) -> None:
        self._rosters = rosters
        self._extensions = extensions

    def domain_info(self, request: IqRequest) -> Element:
        """The identity and features of the domain."""
        node = request.payload.get("node")
        # The node of the server's caps (XEP-0115 §6.2) is the domain, too.
        if node and node != f"{CAPS_NODE}#{caps_version(self._extensions)}":
            raise StanzaError("item-not-found")
        return info([IDENTITY], domain_features(self._extensions), node)

    async def account_info(self, request: IqRequest) -> Element:
        """All features for the account itself; for its contacts only its existence."""
        own, bare = request.session.jid.bare, request.account.bare
        if request.payload.get("node"):
            raise StanzaError("item-not-found")
        if bare != own:
            await self._check_visible(request)
        features = [feature for each in self._extensions for feature in each.account_features]
        return info(
            [
                ("account", "anonymous" if request.session.user.anonymous else "registered", ""),
                ("pubsub", "pep", ""),
            ],
            sorted({DISCO_INFO, DISCO_ITEMS, *features}) if bare == own else (DISCO_INFO,),
        )

    async def _check_visible(self, request: IqRequest) -> None:
        """Return if the account lets the sender see its presence (RFC 6121 §8.5.1).

        Raises:
            StanzaError: the account is unknown, or invisible to the sender.
        """
        assert request.to is not None
        if await request.context.kv.event(account_key(request.to)) is not None:
            roster = await self._rosters.get(request.to.bare)
            if roster.get(request.session.jid.bare).of:
                return
        raise StanzaError("service-unavailable")

    async def account_items(self, request: IqRequest) -> Element:
        """An account has no items."""
        if request.account.bare != request.session.jid.bare:
            await self._check_visible(request)
        return items([])


def domain_items(request: IqRequest) -> Element:
    """The PubSub service of the domain."""
    if request.payload.get("node"):
        raise StanzaError("item-not-found")
    assert request.to is not None
    return items([{"jid": pubsub_service(request.to.domain), "name": "Channels"}])


def extension(rosters: Rosters, extensions: Sequence[Extension]) -> Extension:
    """The extension; `extensions` is complete when the first request arrives."""
    discovery = Discovery(rosters, extensions)
    return Extension(
        {
            (DOMAIN, "get", DISCO_INFO, "query"): discovery.domain_info,
            (DOMAIN, "get", DISCO_ITEMS, "query"): domain_items,
            (ACCOUNTS, "get", DISCO_INFO, "query"): discovery.account_info,
            (ACCOUNTS, "get", DISCO_ITEMS, "query"): discovery.account_items,
        }
    )
