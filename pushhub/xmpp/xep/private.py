"""Private XML storage (XEP-0049): what a client keeps for itself, one element of each namespace."""

from __future__ import annotations

from pushhub.xml import Element, parse
from pushhub.xmpp.model.extension import ACCOUNT, Extension, Query
from pushhub.xmpp.model.namespaces import PRIVATE
from pushhub.xmpp.model.stanza import StanzaError
from pushhub.xmpp.storage.key_value import register_name


def asked(query: Query) -> tuple[str, Element]:
    """The name of what is asked for, and the element that asks."""
    wanted = query.payload.elements
    if len(wanted) != 1 or wanted[0].namespace in ("", PRIVATE):
        raise StanzaError("bad-request", "One element of a namespace of its own is stored.")
    element = wanted[0]
    return f"{{{element.namespace}}}{element.name}", element


async def read(query: Query) -> Element:
    name, element = asked(query)
    kept = await query.server.registers.json(_register(query)) or {}
    found = parse(kept[name].encode()) if name in kept else element.holding()
    return Element("query", PRIVATE, {}, (found,))


async def write(query: Query) -> None:
    if query.session.home.anonymous:
        raise StanzaError("not-allowed", "A temporary account keeps nothing.")
    name, element = asked(query)
    await query.server.registers.change_json(
        _register(query), lambda old: {**(old or {}), name: element.xml()}
    )


def _register(query: Query) -> str:
    return register_name("private", query.session.jid.bare)


EXTENSION = Extension(
    {
        (ACCOUNT, "get", PRIVATE, "query"): read,
        (ACCOUNT, "set", PRIVATE, "query"): write,
    },
    domain_features=(PRIVATE,),
)
