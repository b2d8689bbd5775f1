"""Resource binding (RFC 6120 §7)."""

from __future__ import annotations

from pushhub.xml import Element
from pushhub.xmpp.model.jid import JidError, prepare_resource
from pushhub.xmpp.model.namespaces import BIND
from pushhub.xmpp.model.stanza import StanzaError, leaf


def wanted_resource(iq: Element) -> str | None:
    """The resource that an iq asks to be bound, "" for any; None if it asks for something else.

    Raises:
        StanzaError: it can be none.
    """
    bind = iq.find("bind", BIND)
    if iq.name != "iq" or iq.get("type") != "set" or bind is None:
        return None
    resource = bind.find("resource")
    if resource is None or not resource.text:
        return ""
    try:
        return prepare_resource(resource.text)
    except JidError as error:
        raise StanzaError("bad-request", str(error)) from None


def bind_result(jid: str) -> Element:
    """What a client is told of its address."""
    return Element("bind", BIND, {}, (leaf("jid", BIND, jid),))
