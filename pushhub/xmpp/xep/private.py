"""Private XML storage (XEP-0049): what a client keeps for itself, one element of each namespace."""

from __future__ import annotations

from pushhub.protocol.xml import Element
from pushhub.xmpp.extension import ACCOUNT, Extension, Query
from pushhub.xmpp.names import PRIVATE
from pushhub.xmpp.registers import register_name
from pushhub.xmpp.stanza import StanzaError
from pushhub.xmpp.storage import read_xml, write_xml


def register(query: Query) -> tuple[str, Element]:
    """The register of what is asked for, and the element that asks."""
    wanted = query.payload.elements
    if len(wanted) != 1 or wanted[0].namespace in ("", PRIVATE):
        raise StanzaError("bad-request", "One element of a namespace of its own is stored.")
    element = wanted[0]
    name = f"{{{element.namespace}}}{element.name}"
    return register_name("private", query.session.jid.bare, name), element


async def read(query: Query) -> Element:
    name, asked = register(query)
    kept = await read_xml(query.server.registers, name)
    return Element("query", PRIVATE, {}, (kept or Element(asked.name, asked.namespace),))


async def write(query: Query) -> None:
    if query.session.home.anonymous:
        raise StanzaError("not-allowed", "A temporary account keeps nothing.")
    name, element = register(query)
    await write_xml(query.server.registers, name, element)


EXTENSION = Extension(
    {
        (ACCOUNT, "get", PRIVATE, "query"): read,
        (ACCOUNT, "set", PRIVATE, "query"): write,
    },
    domain_features=(PRIVATE,),
)
