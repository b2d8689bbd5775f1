"""The roster as clients read and change it (RFC 6121 §2), and the obsolete session."""

from __future__ import annotations

from pushhub.xml import Element
from pushhub.xmpp.model.extension import ACCOUNT, SERVER, Extension, Query
from pushhub.xmpp.model.namespaces import ROSTER, SESSION
from pushhub.xmpp.model.stanza import StanzaError
from pushhub.xmpp.storage.roster import named, read_item


async def read(query: Query) -> Element | None:
    """The whole roster; nothing if the client has its version (RFC 6121 §2.6)."""
    session = query.session
    session.interested = True
    roster = await query.server.rosters.get(session.jid.bare)
    version = str(roster.version)
    if query.payload.get("ver") == version:
        return None
    items = [entry.item(bare) for bare, entry in roster.listed.items()]
    return Element("query", ROSTER, {"ver": version}, tuple(items))


async def write(query: Query) -> None:
    """One entry changed, added or removed."""
    session = query.session
    if session.home.anonymous:
        raise StanzaError("not-allowed", "A temporary account has no contacts.")
    bare, remove, name, groups = read_item(query.payload)
    if bare == session.jid.bare:
        raise StanzaError("not-allowed", "An account cannot be its own contact.")
    if remove:
        await query.server.presences.subscriptions.forget(session, bare)
    else:
        await query.server.rosters.change(
            session.jid.bare, bare, lambda entry: named(entry, name, groups)
        )


def session(query: Query) -> None:
    """Establishing a session, which binding has already done (RFC 3921 §3)."""


EXTENSION = Extension(
    {
        (ACCOUNT, "get", ROSTER, "query"): read,
        (ACCOUNT, "set", ROSTER, "query"): write,
        (SERVER, "set", SESSION, "session"): session,
    }
)
