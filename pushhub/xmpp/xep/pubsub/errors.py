"""The errors of PubSub: each has a PubSub condition beside that of the stanza (XEP-0060)."""

from __future__ import annotations

from pushhub.xml import Element
from pushhub.xmpp.model.namespaces import PUBSUB_ERRORS
from pushhub.xmpp.model.stanza import StanzaError


def error(condition: str, specific: str, text: str = "", feature: str = "") -> StanzaError:
    """An error with a condition of `pubsub#errors`."""
    attributes = {"feature": feature} if feature else {}
    return StanzaError(condition, text, Element(specific, PUBSUB_ERRORS, attributes))


def unsupported(feature: str) -> StanzaError:
    """The error for an unsupported feature."""
    return error("feature-not-implemented", "unsupported", "", feature)
