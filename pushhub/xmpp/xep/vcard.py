"""vCards (XEP-0054): what people tell of themselves, to everybody of this server."""

from __future__ import annotations

from pushhub.xml import Element, parse
from pushhub.xmpp.model.extension import ACCOUNT, ACCOUNTS, Extension, Query
from pushhub.xmpp.model.namespaces import VCARD
from pushhub.xmpp.model.stanza import StanzaError
from pushhub.xmpp.storage.key_value import register_name


async def read(query: Query) -> Element:
    bare = query.account.bare
    card = await query.server.registers.value(register_name("vcard", bare))
    if card is not None:
        return parse(card)
    if bare == query.session.jid.bare:
        return Element("vCard", VCARD)
    # XEP-0054 §3.2; of who does not exist, or has blocked who asks, it is the same.
    raise StanzaError("service-unavailable")


async def write(query: Query) -> None:
    if query.session.home.anonymous:
        raise StanzaError("not-allowed", "A temporary account keeps nothing.")
    name = register_name("vcard", query.session.jid.bare)
    await query.server.registers.set(name, query.payload.xml().encode())


EXTENSION = Extension(
    {
        (ACCOUNTS, "get", VCARD, "vCard"): read,
        (ACCOUNT, "set", VCARD, "vCard"): write,
    },
    domain_features=(VCARD,),
    account_features=(VCARD,),
)
