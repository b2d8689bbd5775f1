"""The `<body/>` element around each request and response (XEP-0124 §6): parsing and writing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pushhub import xml
from pushhub.bosh.condition import BindingError, BoshCondition
from pushhub.xml import STREAMS, XBOSH, Element, XmlError, quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

HTTPBIND = "http://jabber.org/protocol/httpbind"
CLIENT = "jabber:client"

RESTART = f"{{{XBOSH}}}restart"
XMPP_VERSION = f"{{{XBOSH}}}version"

# The largest integer that a JavaScript number represents exactly [K1].
MAX_RID = 2**53 - 1

_STANZAS = frozenset({"message", "presence", "iq"})
_NUMBER = re.compile(r"[0-9]{1,20}")

EMPTY = f"<body xmlns='{HTTPBIND}'/>".encode()
_START = f"<body xmlns='{HTTPBIND}'".encode()
_STREAM_START = f"<body xmlns='{HTTPBIND}' xmlns:stream='{STREAMS}'".encode()


class BoshBody:
    """A request's body. `attributes` are by name, or by `{namespace}name`, so that clients may use
    any prefix.
    """

    __slots__ = ("attributes", "children", "rid", "sid")

    def __init__(self, attributes: Mapping[str, str], children: tuple[Element, ...]) -> None:
        self.attributes = attributes
        self.children = children
        self.sid = attributes.get("sid", "")
        self.rid = self._rid()

    def get(self, name: str) -> str | None:
        """An attribute's value; None without the attribute."""
        return self.attributes.get(name)

    def number(self, name: str) -> int | None:
        """An attribute's value as a whole number; None without the attribute.

        Raises:
            BindingError: the value is no whole number.
        """
        text = self.attributes.get(name)
        if text is None:
            return None
        text = text.strip()
        if not _NUMBER.fullmatch(text):
            raise self.refused(f"'{name}' is a whole number.")
        return int(text)

    @property
    def restarts(self) -> bool:
        """Whether the request asks for a new stream [P9]."""
        return self.attributes.get(RESTART, "") in ("true", "1")

    def refused(
        self, detail: str, condition: BoshCondition = BoshCondition.BAD_REQUEST
    ) -> BindingError:
        """The error for this body. Only a creation request states its version; without one, the
        client is a legacy client [N].
        """
        return BindingError(condition, detail, legacy=not self.sid and "ver" not in self.attributes)

    def _rid(self) -> int:
        rid = self.number("rid")
        if rid is None or not 0 < rid <= MAX_RID:
            # [B7] [B9] [K1]
            raise self.refused(f"'rid' is a number from 1 to {MAX_RID}.")
        return rid

    def __repr__(self) -> str:
        return f"<BoshBody rid={self.rid} {len(self.children)} payloads>"


def parse(raw: bytes) -> BoshBody:
    """Read a request's body.

    Raises:
        BindingError: bad-request; the request is no `<body/>`, has no `rid`, or is not well-formed.
    """
    try:
        root = xml.parse(raw)  # [B2] [B3] [B8]
    except XmlError as error:
        raise BindingError(BoshCondition.BAD_REQUEST, str(error)) from None
    if root.name != "body" or root.namespace != HTTPBIND:
        detail = f"A request is one <body xmlns='{HTTPBIND}'/>."  # [B1]
        raise BindingError(BoshCondition.BAD_REQUEST, detail)
    payloads: list[Element] = []
    for child in root.children:
        if isinstance(child, str):
            if not child.isspace():
                detail = "There is no text directly in <body/>."  # [B4]
                raise BindingError(BoshCondition.BAD_REQUEST, detail)
        elif child.name in _STANZAS and child.namespace in (HTTPBIND, ""):
            payloads.append(_renamed(child, child.namespace))  # [P3]
        else:
            payloads.append(child)
    return BoshBody(root.attributes, tuple(payloads))


def _renamed(element: Element, namespace: str) -> Element:
    """A stanza with the client namespace in place of the one that it inherited from `<body/>`."""
    children = tuple(
        _renamed(child, namespace)
        if isinstance(child, Element) and child.namespace == namespace
        else child
        for child in element.children
    )
    return Element(element.name, CLIENT, element.attributes, children)


def write(payloads: Sequence[bytes], attributes: bytes = b"") -> bytes:
    """A response's body. `attributes` are in wire form, each after a space."""
    if not payloads:
        return _START + attributes + b"/>" if attributes else EMPTY
    start = _START
    for payload in payloads:
        if payload.startswith(b"<stream:"):
            start = _STREAM_START  # [P2]
            break
    return b"%b%b>%b</body>" % (start, attributes, b"".join(payloads))


def terminate(condition: BoshCondition | None = None, payloads: Sequence[bytes] = ()) -> bytes:
    """The body that ends a session [N1], without a condition if there was no error."""
    if condition is None:
        return write(payloads, b" type='terminate'")
    return write(payloads, b" type='terminate' condition='%b'" % condition.encode())


def attributes_of(attributes: Iterable[tuple[str, object]]) -> bytes:
    """Attributes in wire form, for `write`."""
    return "".join([f" {name}='{quote(str(value))}'" for name, value in attributes]).encode()


def payload(element: Element) -> bytes:
    """An element in wire form within a body: each declares its namespace, stanzas too."""
    return element.xml(HTTPBIND).encode()
