"""What a message's elements say about its delivery: its type, archiving, carbon copies, ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.xmpp.model import namespaces as ns
from pushhub.xmpp.model.stanza import MESSAGE_TYPES

if TYPE_CHECKING:
    from pushhub.xml import Element
    from pushhub.xmpp.model.jid import Jid

# XEP-0334: hints of the sender against archiving.
_NO_STORE = frozenset({"no-store", "no-permanent-store"})

# Elements that make a message worth archiving: its text, and a receipt.
_ARCHIVED = frozenset({("body", ns.CLIENT), ("received", ns.RECEIPTS)})

# Elements that exclude a message from carbon copies (XEP-0280 §6.1).
_PRIVATE = frozenset({("private", ns.CARBONS), ("no-copy", ns.HINTS), ("x", ns.MUC_USER)})


def with_recipient(stanza: Element, to: Jid) -> Element:
    """A message with a `to`: without one, the message is for the sender's own account."""
    return stanza if "to" in stanza.attributes else stanza.having({"to": to.text})


def type_of(stanza: Element) -> str:
    """A message's type; an undefined type counts as `normal` (RFC 6121 §5.2.2)."""
    kind = stanza.attributes.get("type", "normal")
    return kind if kind in MESSAGE_TYPES else "normal"


def is_archived(stanza: Element) -> bool:
    """Whether a message belongs into the archive: text between people (XEP-0313 §5.1.1)."""
    if stanza.attributes.get("type", "normal") in ("error", "headline", "groupchat"):
        return False
    archived = False
    for child in stanza.elements:
        if child.namespace == ns.HINTS:
            if child.name in _NO_STORE:
                return False
            archived = archived or child.name == "store"
        elif (child.name, child.namespace) in _ARCHIVED:
            archived = True
    return archived


def is_written(stanza: Element) -> bool:
    """Whether a message has a text."""
    return any(c.name == "body" and c.namespace == ns.CLIENT for c in stanza.elements)


def is_copied(stanza: Element) -> bool:
    """Whether other sessions of both accounts get carbon copies of a message (XEP-0280 §6)."""
    kind = type_of(stanza)
    if kind not in ("chat", "normal"):
        return False
    has_body = False
    for child in stanza.elements:
        if (child.name, child.namespace) in _PRIVATE:
            return False
        has_body = has_body or child.name == "body"
    return has_body or kind == "chat"
