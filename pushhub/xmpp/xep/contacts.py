"""The roster as clients read and change it (RFC 6121 §2), and the obsolete session request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.xml import Element, parse
from pushhub.xmpp.model.namespaces import CLIENT, ROSTER, SESSION
from pushhub.xmpp.model.stanza import StanzaError
from pushhub.xmpp.routing.extension import ACCOUNT, SERVER, Extension, IqRequest
from pushhub.xmpp.storage.roster import read_item, renamed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pushhub.xmpp.context import Context
    from pushhub.xmpp.routing.cluster import Cluster
    from pushhub.xmpp.routing.local_user import LocalUser
    from pushhub.xmpp.routing.subscriptions import PresenceSubscriptions
    from pushhub.xmpp.storage.roster import Rosters


class Contacts:
    """Handles roster requests, and sends roster pushes."""

    def __init__(
        self,
        context: Context,
        cluster: Cluster,
        rosters: Rosters,
        subscriptions: PresenceSubscriptions,
    ) -> None:
        self._context = context
        self._rosters = rosters
        self._subscriptions = subscriptions
        cluster.on_notice("roster", self._push)

    async def read(self, request: IqRequest) -> Element | None:
        """The whole roster; an empty result if the client has its version (RFC 6121 §2.6)."""
        session = request.session
        session.interested = True
        roster = await self._rosters.get(session.jid.bare)
        version = str(roster.version)
        if request.payload.get("ver") == version:
            return None
        items = [entry.item(bare) for bare, entry in roster.listed.items()]
        return Element("query", ROSTER, {"ver": version}, tuple(items))

    async def write(self, request: IqRequest) -> None:
        """Change, add or remove one entry."""
        session = request.session
        if session.user.anonymous:
            raise StanzaError("not-allowed", "A temporary account has no contacts.")
        bare, remove, name, groups = read_item(request.payload)
        if bare == session.jid.bare:
            raise StanzaError("not-allowed", "An account cannot be its own contact.")
        if remove:
            await self._subscriptions.remove_contact(session, bare)
        else:
            await self._rosters.update(
                session.jid.bare, bare, lambda entry: renamed(entry, name, groups)
            )

    def _push(self, user: LocalUser, data: Mapping[str, str]) -> None:
        """Send a change to the sessions that requested the roster (RFC 6121 §2.1.6)."""
        query = parse(data["query"].encode(), own=True)
        for session in list(user.sessions.values()):
            if session.interested:
                id = self._context.new_id()
                attributes = {"type": "set", "id": id, "to": session.jid.text}
                session.send(Element("iq", CLIENT, attributes, (query,)))


def session(request: IqRequest) -> None:
    """Establish a session, which binding has done already (RFC 3921 §3)."""


def extension(
    context: Context, cluster: Cluster, rosters: Rosters, subscriptions: PresenceSubscriptions
) -> Extension:
    contacts = Contacts(context, cluster, rosters, subscriptions)
    return Extension(
        {
            (ACCOUNT, "get", ROSTER, "query"): contacts.read,
            (ACCOUNT, "set", ROSTER, "query"): contacts.write,
            (SERVER, "set", SESSION, "session"): session,
        }
    )
