"""Stanzas (RFC 6120 §8): results, errors, and small elements that many stanzas contain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pushhub.xml import STREAMS, Element
from pushhub.xmpp.model.namespaces import CLIENT, STANZA_ERRORS, STREAM_ERRORS

if TYPE_CHECKING:
    from collections.abc import Mapping

# RFC 6120 §8.3.3: each defined condition, and its usual error type.
CONDITIONS = {
    "bad-request": "modify",
    "conflict": "cancel",
    "feature-not-implemented": "cancel",
    "forbidden": "auth",
    "gone": "cancel",
    "internal-server-error": "cancel",
    "item-not-found": "cancel",
    "jid-malformed": "modify",
    "not-acceptable": "modify",
    "not-allowed": "cancel",
    "not-authorized": "auth",
    "policy-violation": "modify",
    "recipient-unavailable": "wait",
    "redirect": "modify",
    "registration-required": "auth",
    "remote-server-not-found": "cancel",
    "remote-server-timeout": "wait",
    "resource-constraint": "wait",
    "service-unavailable": "cancel",
    "subscription-required": "auth",
    "undefined-condition": "cancel",
    "unexpected-request": "wait",
}

STANZAS = frozenset({"message", "presence", "iq"})
IQ_TYPES = frozenset({"get", "set", "result", "error"})
MESSAGE_TYPES = frozenset({"normal", "chat", "groupchat", "headline", "error"})


@dataclass(eq=False)
class StanzaError(Exception):
    """The response to a stanza is an error: a condition of RFC 6120 §8.3.3, a sentence for people,
    and possibly a condition of the extension that the stanza used.
    """

    condition: str
    text: str = ""
    specific: Element | None = None
    type: str = ""


@dataclass(eq=False)
class StreamError(Exception):
    """The stream ends with an error: a condition of RFC 6120 §4.9.3, and a sentence."""

    condition: str
    text: str = ""

    def element(self) -> Element:
        """The `<stream:error/>` before the end of the stream."""
        return Element("error", STREAMS, {}, described(self.condition, STREAM_ERRORS, self.text))


def described(condition: str, namespace: str, text: str) -> tuple[Element, ...]:
    """A condition, and its sentence if it has one."""
    element = Element(condition, namespace)
    return (element, Element("text", namespace, {}, (text,))) if text else (element,)


def result(iq: Element, *children: Element) -> Element:
    """The result of an iq (RFC 6120 §8.2.3)."""
    return Element("iq", CLIENT, _back(iq, "result"), children)


def failure(stanza: Element, error: StanzaError) -> Element:
    """A stanza's error (RFC 6120 §8.3.1)."""
    children = described(error.condition, STANZA_ERRORS, error.text)
    if error.specific is not None:
        children = (*children, error.specific)
    kind = error.type or CONDITIONS[error.condition]
    inside = Element("error", CLIENT, {"type": kind}, children)
    return Element(stanza.name, CLIENT, _back(stanza, "error"), (inside,))


def check_stanza(element: Element) -> None:
    """Return if a client's element is a stanza.

    Raises:
        StreamError: the element is no stanza.
    """
    if element.namespace != CLIENT or element.name not in STANZAS:
        raise StreamError("unsupported-stanza-type", "A stanza is message, presence or iq.")


def may_fail(stanza: Element) -> bool:
    """Whether a stanza may get an error response: not if it is a response itself, or two servers
    would return each other's errors forever (RFC 6120 §8.3.1).
    """
    return stanza.get("type") not in ("error", "result")


def _back(stanza: Element, kind: str) -> Mapping[str, str]:
    attributes = stanza.attributes
    back = {"type": kind}
    if "id" in attributes:
        back["id"] = attributes["id"]
    if "from" in attributes:
        back["to"] = attributes["from"]
    if "to" in attributes:
        back["from"] = attributes["to"]
    return back


def leaf(name: str, namespace: str, text: str = "", /, **attributes: str) -> Element:
    """An element that contains only text."""
    return Element(name, namespace, attributes, (text,) if text else ())
