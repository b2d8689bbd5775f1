"""The smallest XMPP server: one user, who chats with himself. It replaces the real server."""

from pushhub.bosh.body import CLIENT
from pushhub.xml import STREAMS, Element

SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
BIND = "urn:ietf:params:xml:ns:xmpp-bind"
ERRORS = "urn:ietf:params:xml:ns:xmpp-streams"
STANZAS = "urn:ietf:params:xml:ns:xmpp-stanzas"

JID = "somebody@localhost/here"


class StreamError(Exception):
    def __init__(self, condition: str) -> None:
        self.element = Element("error", STREAMS, {}, (Element(condition, ERRORS),))


class Echo:
    """A stream as the real server has it, as far as BOSH shows it."""

    def __init__(self) -> None:
        self.known = False
        self.received: list[Element] = []

    def features(self) -> Element:
        if self.known:
            return Element("features", STREAMS, {}, (Element("bind", BIND),))
        mechanism = Element("mechanism", SASL, {}, ("ANONYMOUS",))
        return Element("features", STREAMS, {}, (Element("mechanisms", SASL, {}, (mechanism,)),))

    def receive(self, element: Element) -> list[Element]:
        """The elements in response. Raises StreamError."""
        self.received.append(element)
        if element.namespace == SASL:
            if element.get("mechanism") != "ANONYMOUS":
                return [Element("failure", SASL, {}, (Element("invalid-mechanism", SASL),))]
            self.known = True
            return [Element("success", SASL)]
        if not self.known:
            raise StreamError("not-authorized")
        if element.get("from") not in (None, JID, JID.partition("/")[0]):
            raise StreamError("invalid-from")
        if element.name == "message" and element.get("to") == JID:
            return [element.having({"from": JID})]
        if element.name == "iq" and element.get("type") in ("get", "set"):
            return [self._answer(element)]
        return []

    def _answer(self, iq: Element) -> Element:
        children: tuple[Element, ...] = ()
        kind = "result"
        (query,) = iq.elements
        if query.namespace == BIND:
            children = (Element("bind", BIND, {}, (Element("jid", BIND, {}, (JID,)),)),)
        elif query.name != "ping":
            kind = "error"
            unavailable = Element("service-unavailable", STANZAS)
            children = (Element("error", CLIENT, {"type": "cancel"}, (unavailable,)),)
        return Element("iq", CLIENT, {"type": kind, "id": iq.get("id") or ""}, children)
