"""Elements that only the server may put into a stanza, since clients trust them. The server removes
those that a client sends.

- `<stanza-id/>` of an address of this server (XEP-0359 §5): another id for a message.
- `<delay/>` of another address than the sender's (XEP-0203 §3): another time for a message.
- carbon copies and results of archives (XEP-0280 §11, XEP-0313 §9.1): messages of other senders.
- events of PubSub (XEP-0060 §7.1.2): items that were not published.

A client may forward messages (`<forwarded/>`) and name its own id (`<origin-id/>`): these are
statements of the sender.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.xmpp.model import namespaces as ns

if TYPE_CHECKING:
    from collections.abc import Container

    from pushhub.xml import Element
    from pushhub.xmpp.model.jid import Jid

_ALWAYS = frozenset(
    {
        ("received", ns.CARBONS),
        ("sent", ns.CARBONS),
        ("result", ns.MAM),
        ("fin", ns.MAM),
        ("event", ns.PUBSUB_EVENT),
    }
)
_DELAYS = frozenset({("delay", ns.DELAY), ("x", ns.LEGACY_DELAY)})

# Payloads of pushes: a client that does not check the sender would change its contacts.
PUSHES = frozenset({ns.ROSTER, ns.BLOCKING})


def without_forgeries(stanza: Element, sender: Jid, own: Container[str]) -> Element:
    """A client's stanza without such elements. `own` has the domains of this server."""
    for child in stanza.children:
        if not isinstance(child, str) and _is_forged(child, sender, own):
            return stanza.holding(
                *[
                    c
                    for c in stanza.children
                    if isinstance(c, str) or not _is_forged(c, sender, own)
                ]
            )
    return stanza


def _is_forged(child: Element, sender: Jid, own: Container[str]) -> bool:
    key = (child.name, child.namespace)
    if key in _ALWAYS:
        return True
    if key == ("stanza-id", ns.STANZA_ID):
        return _domain(child.get("by") or "") in own or not child.get("by")
    if key in _DELAYS:
        # A client may say that it sent a message late.
        return child.get("from") not in (sender.bare, sender.text)
    return False


def _domain(address: str) -> str:
    """The domain of an address as a client would read it, however it is written."""
    return address.partition("/")[0].rpartition("@")[2].strip().lower().removesuffix(".")
