"""Stream features (RFC 6120 §4.3.2), without white space: Converse.js takes each child node for an
element.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.xml import STREAMS, Element
from pushhub.xmpp.model.namespaces import BIND, CAPS, ROSTER_VERSIONS, SASL
from pushhub.xmpp.model.stanza import leaf

if TYPE_CHECKING:
    from collections.abc import Iterable

# Entity capabilities (XEP-0115 §4) name the software by a URL.
CAPS_NODE = "https://pushhub.dev"


def login_features(mechanisms: Iterable[str]) -> Element:
    """The features before the login: the SASL mechanisms, in order of preference."""
    offered = [leaf("mechanism", SASL, name) for name in mechanisms]
    return Element("features", STREAMS, {}, (Element("mechanisms", SASL, {}, tuple(offered)),))


def session_features(caps_version: str) -> Element:
    """The features after the login. The obsolete `<session/>` is not announced, which saves clients
    a round trip; a client that still sends one gets a result.
    """
    caps = {"hash": "sha-1", "node": CAPS_NODE, "ver": caps_version}
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
