"""Resource binding (RFC 6120 §7)."""

from __future__ import annotations

from pushhub.xml import Element
from pushhub.xmpp.model.jid import JidError, prepare_resource
from pushhub.xmpp.model.namespaces import BIND
from pushhub.xmpp.model.stanza import StanzaError, leaf


def requested_resource(iq: Element) -> str | None:
    """The resource that an iq asks to bind, "" for any; None if the iq is another request.

    Raises:
        StanzaError: the resource is invalid.
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
    """The result of a bind request: the client's full address."""
    return Element("bind", BIND, {}, (leaf("jid", BIND, jid),))
