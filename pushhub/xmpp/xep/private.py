"""Private XML storage (XEP-0049): data of a client for itself, one element for each name."""

from __future__ import annotations

from pushhub.xml import Element, parse
from pushhub.xmpp.model.namespaces import PRIVATE
from pushhub.xmpp.model.stanza import StanzaError
from pushhub.xmpp.routing.extension import ACCOUNT, Extension, IqRequest
from pushhub.xmpp.storage.key_value import internal_name


def _requested(request: IqRequest) -> tuple[str, Element]:
    """The name of the requested element, and the element in the request."""
    elements = request.payload.elements
    if len(elements) != 1 or elements[0].namespace in ("", PRIVATE):
        raise StanzaError("bad-request", "One element of a namespace of its own is stored.")
    element = elements[0]
    return f"{{{element.namespace}}}{element.name}", element


async def read(request: IqRequest) -> Element:
    name, element = _requested(request)
    stored = await request.context.kv.json(_key(request)) or {}
    found = parse(stored[name].encode(), own=True) if name in stored else element.holding()
    return Element("query", PRIVATE, {}, (found,))


async def write(request: IqRequest) -> None:
    if request.session.user.anonymous:
        raise StanzaError("not-allowed", "A temporary account keeps nothing.")
    name, element = _requested(request)
    await request.context.kv.update_json(
        _key(request), lambda old: {**(old or {}), name: element.xml()}
    )


def _key(request: IqRequest) -> str:
    return internal_name("private", request.session.jid.bare)


EXTENSION = Extension(
    {
        (ACCOUNT, "get", PRIVATE, "query"): read,
        (ACCOUNT, "set", PRIVATE, "query"): write,
    },
    domain_features=(PRIVATE,),
)
