"""Stanzas at the limits of XML: the server adds to them, and still reads the result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.xml import MAX_ATTRIBUTES, MAX_BYTES, MAX_DEPTH, MAX_ELEMENTS, Element, parse
from pushhub.xmpp.model import namespaces as ns
from tests.peers.bosh_user import User
from tests.serving import serve
from tests.xmpp.routing.test_vanished import pair

if TYPE_CHECKING:
    from tests.xmpp.world import World

__all__ = ["pair"]

# `to`, `type` and `id` are attributes, too; the server adds `from`.
ATTRIBUTES = " ".join(f"a{n}=''" for n in range(MAX_ATTRIBUTES - 3))


def test_own_xml_has_no_limits() -> None:
    inside = Element("b", "", {f"a{n}": "" for n in range(MAX_ATTRIBUTES + 1)})
    for _ in range(MAX_DEPTH + 10):
        inside = Element("b", "", {}, (inside,))
    large = Element("a", "", {}, (inside, "x" * MAX_BYTES, *[Element("c", "")] * MAX_ELEMENTS))
    assert parse(large.xml().encode(), own=True) == large


def test_a_session_with_such_a_stanza_ends() -> None:
    """A guest sends the stanza to a session that then vanishes."""
    with serve(bosh_inactivity=3) as server:
        juliet = User.login(server.port, "", "", "", "ANONYMOUS")
        romeo = User.login(server.port, "", "", "", "ANONYMOUS")
        stanza = f"to='{juliet.jid}' type='get' id='p' {ATTRIBUTES}"
        romeo.exchange(f"<iq xmlns='{ns.CLIENT}' {stanza}><x xmlns='urn:x'/></iq>")
        juliet.next(lambda e: e.name == "iq" and e.get("id") == "p")
        # Without another request of its client the session ends, and the next iq gets an error.
        romeo.exchange(
            f"<iq xmlns='{ns.CLIENT}' to='{juliet.jid}' type='get' id='q'><x xmlns='urn:x'/></iq>"
        )
        romeo.next(lambda e: e.get("id") == "q" and e.get("type") == "error")


async def test_such_a_stanza_reaches_another_node(pair: World) -> None:
    romeo = await (await pair.user("romeo", "orchard", 0)).available()
    juliet = await (await pair.user("juliet", "balcony", 1)).available()
    stanza = f"to='{juliet.jid}' type='get' id='p' {ATTRIBUTES}"
    romeo.say(f"<iq xmlns='{ns.CLIENT}' {stanza}><x xmlns='urn:x'/></iq>")
    assert await juliet.stanza("iq", id="p", sender=romeo.jid)
