"""What a stream can do (RFC 6120 §4.3.2): a list without any white space, since Converse.js takes
every child for an element."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.xml import STREAMS, Element
from pushhub.xmpp.model.namespaces import BIND, CAPS, ROSTER_VERSIONS, SASL
from pushhub.xmpp.model.stanza import leaf

if TYPE_CHECKING:
    from pushhub.xmpp.server import XmppServer
    from pushhub.xmpp.transport.stream import State


def features(server: XmppServer, state: State) -> Element:
    """The features of a stream that has come so far. The obsolete `<session/>` is not among them,
    which saves clients a round trip; who asks for one gets it.
    """
    if state.value == "connected":
        offered = [leaf("mechanism", SASL, name) for name in server.offered]
        return Element("features", STREAMS, {}, (Element("mechanisms", SASL, {}, tuple(offered)),))
    caps = {"hash": "sha-1", "node": server.caps_node, "ver": server.caps_version}
    return Element(
        "features",
        STREAMS,
        {},
        (
            Element("bind", BIND),
            Element("ver", ROSTER_VERSIONS),
            Element("c", CAPS, caps),
        ),
    )
