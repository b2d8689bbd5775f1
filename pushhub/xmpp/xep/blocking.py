"""The blocking command (XEP-0191). The routers enforce the lists: see `blocklist`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pushhub.xml import Element, parse
from pushhub.xmpp.context import pubsub_service
from pushhub.xmpp.model.jid import JidError, parse_jid
from pushhub.xmpp.model.namespaces import BLOCKING, CLIENT
from pushhub.xmpp.model.stanza import StanzaError, leaf
from pushhub.xmpp.routing.extension import ACCOUNT, Extension, IqRequest
from pushhub.xmpp.storage.blocklist import blocklist_key, contains

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pushhub.xmpp.context import Context
    from pushhub.xmpp.routing.cluster import Cluster
    from pushhub.xmpp.routing.local_user import LocalUser
    from pushhub.xmpp.storage.roster import Rosters
    from pushhub.xmpp.xep.pubsub.subscribers import Subscribers

# Prosody has no limit; one value holds about so many.
MAX_BLOCKED = 1000


class Blocking:
    """Reads and changes block lists."""

    def __init__(
        self, context: Context, cluster: Cluster, rosters: Rosters, subscribers: Subscribers
    ) -> None:
        self._context = context
        self._cluster = cluster
        self._rosters = rosters
        self._subscribers = subscribers
        cluster.on_notice("blocks", self._push)

    async def read(self, request: IqRequest) -> Element:
        """The block list; its changes follow."""
        request.session.wants_blocklist = True
        listed = await self._context.kv.json(blocklist_key(request.session.jid.bare))
        items = [leaf("item", BLOCKING, jid=jid) for jid in listed or ()]
        return Element("blocklist", BLOCKING, {}, tuple(items))

    async def block(self, request: IqRequest) -> None:
        """Block addresses."""
        named = _addresses(request)
        if not named:
            raise StanzaError("bad-request", "Say whom to block.")
        added = await self._update(
            request, lambda old: old + [jid for jid in named if jid not in old]
        )
        for jid in added:
            await self._show_presence(request, jid, "hide")

    async def unblock(self, request: IqRequest) -> None:
        """Unblock addresses; without any, all of them (XEP-0191 §3.5)."""
        named = _addresses(request)
        removed = await self._update(
            request, lambda old: [jid for jid in old if jid not in named] if named else []
        )
        for jid in removed:
            await self._show_presence(request, jid, "show")

    async def _update(
        self, request: IqRequest, make: Callable[[list[str]], list[str]]
    ) -> list[str]:
        """Change the list, notify the account's sessions, and return the addresses that were added
        or removed."""
        session = request.session
        if session.user.anonymous:
            raise StanzaError("not-allowed", "A temporary account keeps nothing.")
        before: list[str] = []

        def remake(old: Any) -> Any:
            nonlocal before
            before = old or []
            made = make(before)
            if len(made) > MAX_BLOCKED:
                raise StanzaError("resource-constraint", f"At most {MAX_BLOCKED} can be blocked.")
            return made if made != before else None

        bare = session.jid.bare
        after = await self._context.kv.update_json(blocklist_key(bare), remake) or []
        service = parse_jid(pubsub_service(session.jid.domain))
        muted = "yes" if contains(after, service) else ""
        # Nodes of older versions read `deaf`, too.
        await self._cluster.notify(bare, "blocks", xml=request.payload.xml(), deaf=muted)
        return list(set(before) ^ set(after))

    async def _show_presence(self, request: IqRequest, jid: str, kind: str) -> None:
        """Send unavailable presence to a blocked contact, and available presence to an unblocked
        one (XEP-0191 §3.3)."""
        bare = request.session.jid.bare
        roster = await self._rosters.get(bare)
        other = parse_jid(jid).bare
        if roster.get(other).of:
            await self._cluster.notify(bare, kind, to=other)

    def _push(self, user: LocalUser, data: Mapping[str, str]) -> None:
        self._subscribers.mute(user, on=bool(data.get("deaf")))
        payload = parse(data["xml"].encode(), own=True)
        for session in list(user.sessions.values()):
            if session.wants_blocklist:
                id = self._context.new_id()
                attributes = {"type": "set", "id": id, "to": session.jid.text}
                session.send(Element("iq", CLIENT, attributes, (payload,)))


def _addresses(request: IqRequest) -> list[str]:
    """The addresses in a request.

    Raises:
        StanzaError: an address is invalid.
    """
    try:
        return [parse_jid(item.get("jid") or "").text for item in request.payload.every("item")]
    except JidError as error:
        raise StanzaError("jid-malformed", str(error)) from None


def extension(
    context: Context, cluster: Cluster, rosters: Rosters, subscribers: Subscribers
) -> Extension:
    blocking = Blocking(context, cluster, rosters, subscribers)
    return Extension(
        {
            (ACCOUNT, "get", BLOCKING, "blocklist"): blocking.read,
            (ACCOUNT, "set", BLOCKING, "block"): blocking.block,
            (ACCOUNT, "set", BLOCKING, "unblock"): blocking.unblock,
        },
        domain_features=(BLOCKING,),
        account_features=(BLOCKING,),
    )
