"""vCards (XEP-0054): profiles of accounts, visible to all accounts of this server."""

from __future__ import annotations

from pushhub.xml import Element, parse
from pushhub.xmpp.model.namespaces import VCARD
from pushhub.xmpp.model.stanza import StanzaError
from pushhub.xmpp.routing.extension import ACCOUNT, ACCOUNTS, Extension, IqRequest
from pushhub.xmpp.storage.key_value import internal_name


async def read(request: IqRequest) -> Element:
    bare = request.account.bare
    if request.session.user.anonymous and bare != request.session.jid.bare:
        # A guest must not learn which accounts exist.
        raise StanzaError("service-unavailable")
    card = await request.context.kv.value(internal_name("vcard", bare))
    if card is not None:
        return parse(card)
    if bare == request.session.jid.bare:
        return Element("vCard", VCARD)
    # XEP-0054 §3.2: the same error as for an unknown account, or one that has blocked the sender.
    raise StanzaError("service-unavailable")


async def write(request: IqRequest) -> None:
    if request.session.user.anonymous:
        raise StanzaError("not-allowed", "A temporary account keeps nothing.")
    name = internal_name("vcard", request.session.jid.bare)
    await request.context.kv.set(name, request.payload.xml().encode())


EXTENSION = Extension(
    {
        (ACCOUNTS, "get", VCARD, "vCard"): read,
        (ACCOUNT, "set", VCARD, "vCard"): write,
    },
    domain_features=(VCARD,),
    account_features=(VCARD,),
)
