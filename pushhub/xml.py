"""XML for XMPP (RFC 6120 §11): elements, text and namespaces, and nothing else.

An `Element` is what was parsed or what is to be written; it is immutable, and may be shared. What
is parsed comes from strangers, so there is no document type, entity, comment or processing
instruction, and size, depth and number of everything are bounded.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING
from xml.parsers.expat import ExpatError, ParserCreate, errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

XML = "http://www.w3.org/XML/1998/namespace"
STREAMS = "http://etherx.jabber.org/streams"
XBOSH = "urn:xmpp:xbosh"

# A namespaced attribute's key is `{namespace}name`, as in James Clark's notation.
LANG = f"{{{XML}}}lang"

# COMPAT: clients look for the literal `stream:features`, and servers for `xmpp:restart`.
PREFIXES = {STREAMS: "stream", XBOSH: "xmpp", XML: "xml"}

# Prosody's limit of a client's stanza (`c2s_stanza_size_limit`), and pushhub's of an event.
MAX_BYTES = 256 * 1024
# A stanza is about five deep, a forwarded one in an archive's result ten.
MAX_DEPTH = 50
# A form of XHTML has about ten, and three declarations.
MAX_ATTRIBUTES = 50
# A roster of two thousand contacts in a group each. Each takes about 400 bytes of memory.
MAX_ELEMENTS = 5000

# Between a namespace and a name, as expat reports them.
SEPARATOR = "}"

# Since 2.4.6 expat refuses broken UTF-8, separators in namespaces, and expansions of entities. The
# parser here does not rely on these; the older ones also have faults of memory that it cannot mend.
SAFE_EXPAT = (2, 4, 6)

# Measured with `tracemalloc`: an element without attributes and children, and a short text.
ELEMENT_BYTES = 120
STRING_BYTES = 60

# The byte order marks that make expat read UTF-16, whatever it was told.
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")

_NOTHING: Mapping[str, str] = {}

# What cannot stand as it is: markup, what readers normalise, and what no XML may have (XML 1.0
# §2.2), which becomes the replacement character.
_FORBIDDEN = "\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff"
_IN_TEXT = re.compile(f"[&<>\r{_FORBIDDEN}]")
_IN_VALUE = re.compile(f"[&<>'\"\r\n\t{_FORBIDDEN}]")
_ESCAPES = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    "'": "&apos;",
    '"': "&quot;",
    "\r": "&#13;",
    "\n": "&#10;",
    "\t": "&#9;",
}


class XmlError(ValueError):
    """What came cannot be read; the message is a sentence for who sent it."""


class Element:
    """An element: its name and namespace, its attributes, and what is in it.

    Args:
        name: the local name.
        namespace: its namespace, "" for none.
        attributes: values by name, or by `{namespace}name`.
        children: elements, and the text between them.
    """

    __slots__ = ("attributes", "children", "name", "namespace")

    def __init__(
        self,
        name: str,
        namespace: str,
        attributes: Mapping[str, str] = _NOTHING,
        children: tuple[Element | str, ...] = (),
    ) -> None:
        self.name = name
        self.namespace = namespace
        self.attributes = attributes
        self.children = children

    def get(self, name: str) -> str | None:
        """An attribute's value; None if it has none."""
        return self.attributes.get(name)

    @property
    def elements(self) -> list[Element]:
        """The elements in it, without the text between them."""
        return [child for child in self.children if isinstance(child, Element)]

    @property
    def text(self) -> str:
        """The text directly in it."""
        return "".join([child for child in self.children if isinstance(child, str)])

    @property
    def weight(self) -> int:
        """About how many bytes of memory the element takes, with everything in it."""
        total, rest = 0, [self]
        while rest:
            element = rest.pop()
            total += ELEMENT_BYTES + sum(
                STRING_BYTES + len(key) + len(value) for key, value in element.attributes.items()
            )
            for child in element.children:
                if isinstance(child, Element):
                    rest.append(child)
                else:
                    total += STRING_BYTES + len(child)
        return total

    def find(self, name: str, namespace: str | None = None) -> Element | None:
        """The first element of a name in it; of its own namespace, if no other is given."""
        return next(self.every(name, namespace), None)

    def every(self, name: str, namespace: str | None = None) -> Iterator[Element]:
        """All elements of a name in it; of its own namespace, if no other is given."""
        if namespace is None:
            namespace = self.namespace
        for child in self.children:
            if isinstance(child, Element) and child.name == name and child.namespace == namespace:
                yield child

    def having(self, changes: Mapping[str, str | None]) -> Element:
        """The same with other attributes; None takes one away."""
        attributes = {**self.attributes, **changes}
        kept = {name: value for name, value in attributes.items() if value is not None}
        return Element(self.name, self.namespace, kept, self.children)

    def holding(self, *children: Element | str) -> Element:
        """The same with other children."""
        return Element(self.name, self.namespace, self.attributes, children)

    def xml(self, around: str = "") -> str:
        """It as XML; `around` is the default namespace of where it is put.

        It can be read wherever it is put: it declares what it uses.
        """
        pieces: list[str] = []
        _write(self, around, pieces)
        return "".join(pieces)

    def __eq__(self, other: object) -> bool:
        """Equal in all that matters: neither prefixes nor the order of attributes do."""
        if not isinstance(other, Element):
            return NotImplemented
        return (
            self.name == other.name
            and self.namespace == other.namespace
            and self.attributes == other.attributes
            and self.children == other.children
        )

    def __hash__(self) -> int:
        return hash((self.name, self.namespace, len(self.children)))

    def __repr__(self) -> str:
        text = self.xml()
        return f"<Element {text if len(text) <= 200 else text[:200] + '…'}>"


def escape(text: str) -> str:
    """Text as it stands between tags."""
    return _IN_TEXT.sub(_escaped, text) if _IN_TEXT.search(text) else text


def quote(value: str) -> str:
    """An attribute's value as it stands between apostrophes."""
    return _IN_VALUE.sub(_escaped, value) if _IN_VALUE.search(value) else value


def _escaped(found: re.Match[str]) -> str:
    return _ESCAPES.get(found[0], "\ufffd")


def _write(element: Element, around: str, pieces: list[str]) -> None:
    name, namespace = element.name, element.namespace
    start = f"<{name}"
    if namespace != around:
        prefix = PREFIXES.get(namespace)
        if prefix is None:
            around = namespace
            start = f"<{name} xmlns='{quote(namespace)}'"
        else:
            # Its children keep the default namespace that is around it.
            name = f"{prefix}:{name}"
            start = f"<{name} xmlns:{prefix}='{namespace}'"
    pieces.append(start)
    foreign = False
    for key, value in element.attributes.items():
        if key[0] == "{":
            foreign = True
        else:
            pieces.append(f" {key}='{quote(value)}'")
    if foreign:
        _write_foreign(element, name.rpartition(":")[0], pieces)
    if not element.children:
        pieces.append("/>")
        return
    pieces.append(">")
    for child in element.children:
        if isinstance(child, str):
            pieces.append(escape(child))
        else:
            _write(child, around, pieces)
    pieces.append(f"</{name}>")


def _write_foreign(element: Element, declared: str, pieces: list[str]) -> None:
    """The attributes that have a namespace, and the declarations of those but the prefix that is
    `declared`.
    """
    known = {XML: "xml"}
    if declared:
        known[element.namespace] = declared
    for key, value in element.attributes.items():
        if key[0] != "{":
            continue
        namespace, _, name = key[1:].partition("}")
        prefix = known.get(namespace)
        if prefix is None:
            prefix = known[namespace] = PREFIXES.get(namespace, f"ns{len(known)}")
            pieces.append(f" xmlns:{prefix}='{quote(namespace)}'")
        pieces.append(f" {prefix}:{name}='{quote(value)}'")


class _Builder:
    """Makes elements of what the parser meets. It keeps within the limits, and knows the parser
    not: they would keep each other alive.
    """

    __slots__ = ("count", "open", "root")

    def __init__(self, count: int) -> None:
        # Of each element that is not closed: name, namespace, attributes, children so far.
        self.open: list[tuple[str, str, Mapping[str, str], list[Element | str]]] = []
        self.root: Element | None = None
        # How many elements there may still be.
        self.count = count

    def start(self, tag: str, found: dict[str, str]) -> None:
        self.count -= 1
        if self.count < 0:
            raise XmlError(f"There are at most {MAX_ELEMENTS} elements.")
        if len(self.open) >= MAX_DEPTH:
            raise XmlError(f"Elements are at most {MAX_DEPTH} deep.")
        if len(found) > MAX_ATTRIBUTES:
            raise XmlError(f"An element has at most {MAX_ATTRIBUTES} attributes.")
        # Old versions of expat accept the separator in a namespace (CVE-2022-25236): a part of the
        # namespace would be written as a name.
        if tag.count(SEPARATOR) > 1:
            raise XmlError("A namespace has no braces.")
        attributes: Mapping[str, str] = found or _NOTHING
        for key in found:
            if SEPARATOR in key:
                if any(other.count(SEPARATOR) > 1 for other in found):
                    raise XmlError("A namespace has no braces.")
                attributes = {(f"{{{k}" if "}" in k else k): v for k, v in found.items()}
                break
        namespace, _, name = tag.rpartition("}")
        self.open.append((name, namespace, attributes, []))

    def end(self, tag: str) -> None:
        name, namespace, attributes, children = self.open.pop()
        element = Element(name, namespace, attributes, tuple(children))
        if self.open:
            self.open[-1][3].append(element)
        else:
            self.root = element

    def text(self, data: str) -> None:
        self.open[-1][3].append(data)


def _no_doctype(*_: object) -> None:
    raise XmlError("There is no document type declaration in XMPP.")


def _no_comment(*_: object) -> None:
    raise XmlError("There are no comments in XMPP.")


def _no_instruction(*_: object) -> None:
    raise XmlError("There are no processing instructions in XMPP.")


def parse(raw: bytes, *, own: bool = False) -> Element:
    """Read one element, all of it; `own` is what pushhub has written, of whatever size.

    Raises:
        XmlError: it is not well-formed UTF-8 XML 1.0 with namespaces, has what XMPP forbids (RFC
            6120 §11.1), or passes a limit.
    """
    if len(raw) > MAX_BYTES and not own:
        raise XmlError(f"The XML has at most {MAX_BYTES} bytes.")
    if raw[:2] in _UTF_16:
        raise XmlError("The XML must be UTF-8.")
    try:
        raw.decode()  # Old versions of expat accept broken UTF-8 in names (CVE-2022-25235).
    except UnicodeDecodeError:
        raise XmlError("The XML must be UTF-8.") from None
    builder = _Builder(sys.maxsize if own else MAX_ELEMENTS)
    # Whatever a declaration says, it is UTF-8 (RFC 6120 §11.6).
    parser = ParserCreate("utf-8", SEPARATOR)
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.text
    # Before the first entity can be declared, there is a document type to be refused.
    parser.StartDoctypeDeclHandler = _no_doctype
    parser.CommentHandler = _no_comment
    parser.ProcessingInstructionHandler = _no_instruction
    try:
        parser.Parse(raw, True)
    except ExpatError as error:
        message = errors.messages[error.code]
        raise XmlError(
            f"The XML is not well-formed: {message} at line {error.lineno}, column {error.offset}."
        ) from None
    assert builder.root is not None
    return builder.root
