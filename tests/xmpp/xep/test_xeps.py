"""The small extensions, and the requests of a client at its start."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

import pytest

from pushhub import __version__
from pushhub.xmpp.model import namespaces as ns
from pushhub.xmpp.model.features import CAPS_NODE

if TYPE_CHECKING:
    from pushhub.xml import Element
    from tests.xmpp.world import Client, World

INFO = f"<query xmlns='{ns.DISCO_INFO}'/>"
ITEMS = f"<query xmlns='{ns.DISCO_ITEMS}'/>"


@pytest.fixture
async def juliet(world: World) -> Client:
    await world.account("juliet")
    return await (await world.user("juliet", "balcony")).available()


def features(answer: Element) -> set[str]:
    return {each.get("var") or "" for each in answer.elements[0].every("feature")}


async def test_discovery(juliet: Client) -> None:
    domain = await juliet.ask("get", INFO, "localhost")
    identity = domain.elements[0].find("identity")
    assert identity is not None
    assert (identity.get("category"), identity.get("type")) == ("server", "im")
    assert {ns.CARBONS, ns.DISCO_ITEMS, ns.PING, ns.BLOCKING} <= features(domain)
    own = await juliet.ask("get", INFO, juliet.bare)
    assert {ns.MAM, ns.MAM_EXTENDED, ns.CARBONS} <= features(own)
    assert features(await juliet.ask("get", INFO)) == features(own)
    items = await juliet.ask("get", ITEMS, "localhost")
    (service,) = [each.get("jid") or "" for each in items.elements[0].elements]
    assert ns.PUBSUB in features(await juliet.ask("get", INFO, service))
    assert await juliet.refused("get", INFO, "nobody@localhost") == "service-unavailable"


async def test_the_hash_of_the_servers_features_is_right(world: World, juliet: Client) -> None:
    """As a client checks it (XEP-0115 §5.4)."""
    told = (await juliet.ask("get", INFO, "localhost")).elements[0]
    (identity,) = told.every("identity")
    text = f"{identity.get('category')}/{identity.get('type')}//{identity.get('name')}<"
    text += "".join(
        f"{var}<" for var in sorted(each.get("var") or "" for each in told.every("feature"))
    )
    digest = base64.b64encode(hashlib.sha1(text.encode()).digest()).decode()
    assert digest == world.server.services.caps_version
    node = f"{CAPS_NODE}#{digest}"
    query = f"<query xmlns='{ns.DISCO_INFO}' node='{node}'/>"
    assert features(await juliet.ask("get", query, "localhost"))
    assert await juliet.refused("get", query.replace(digest, "x"), "localhost") == "item-not-found"


async def test_version_ping_and_time(juliet: Client) -> None:
    answer = await juliet.ask("get", f"<query xmlns='{ns.VERSION}'/>", "localhost")
    assert [each.text for each in answer.elements[0].elements] == ["pushhub", __version__]
    for to in ("localhost", "", juliet.bare, "pubsub.localhost"):
        await juliet.ask("get", f"<ping xmlns='{ns.PING}'/>", to)
    told = (await juliet.ask("get", f"<time xmlns='{ns.TIME}'/>", "localhost")).elements[0]
    assert [each.name for each in told.elements] == ["tzo", "utc"]


async def test_vcards(world: World, juliet: Client) -> None:
    get = f"<vCard xmlns='{ns.VCARD}'/>"
    card = f"<vCard xmlns='{ns.VCARD}'><FN>Juliet &amp; co</FN></vCard>"
    assert not (await juliet.ask("get", get)).elements[0].elements
    await juliet.ask("set", card)
    await world.account("romeo")
    other = await world.user("romeo")
    answer = await other.ask("get", get, "juliet@localhost")
    assert answer.elements[0].elements[0].text == "Juliet & co"
    assert await other.refused("get", get, "nobody@localhost") == "service-unavailable"
    assert await other.refused("set", card, "juliet@localhost") == "service-unavailable"
    # A guest does not learn which accounts exist.
    guest = await world.user()
    for name in ("juliet", "nobody"):
        assert await guest.refused("get", get, f"{name}@localhost") == "service-unavailable"
    assert await guest.refused("set", card) == "not-allowed"


async def test_private_storage(juliet: Client) -> None:
    def query(inside: str) -> str:
        return f"<query xmlns='{ns.PRIVATE}'>{inside}</query>"

    empty = "<storage xmlns='storage:bookmarks'/>"
    assert not (await juliet.ask("get", query(empty))).elements[0].elements[0].elements
    await juliet.ask("set", query("<storage xmlns='storage:bookmarks'><a/></storage>"))
    await juliet.ask("set", query("<other xmlns='other'/>"))
    kept = (await juliet.ask("get", query(empty))).elements[0].elements[0]
    assert kept.elements[0].name == "a"
    assert await juliet.refused("get", query("")) == "bad-request"
    assert await juliet.refused("get", query("<a/>")) == "bad-request"


async def test_stored_values_have_a_limit(juliet: Client) -> None:
    for number in range(2):
        large = f"<x xmlns='n{number}'>{'y' * 140_000}</x>"
        answer = await juliet.iq("set", f"<query xmlns='{ns.PRIVATE}'>{large}</query>")
        assert answer.get("type") == ("result" if number == 0 else "error")


async def test_pep_keeps_items(juliet: Client) -> None:
    def pubsub(inside: str) -> str:
        return f"<pubsub xmlns='{ns.PUBSUB}'>{inside}</pubsub>"

    get = pubsub("<items node='urn:xmpp:bookmarks:1'/>")
    assert await juliet.refused("get", get) == "item-not-found"
    room = "<item id='room@muc'><conference xmlns='urn:xmpp:bookmarks:1' name='A &amp; B'/></item>"
    await juliet.ask("set", pubsub(f"<publish node='urn:xmpp:bookmarks:1'>{room}</publish>"))
    (item,) = (await juliet.ask("get", get, juliet.bare)).elements[0].elements[0].elements
    assert item.elements[0].get("name") == "A & B"
    gone = pubsub("<retract node='urn:xmpp:bookmarks:1'><item id='room@muc'/></retract>")
    await juliet.ask("set", gone)
    assert await juliet.refused("get", get) == "item-not-found"
    assert await juliet.refused("get", get, "romeo@localhost") == "service-unavailable"


async def test_pep_respects_max_items_of_the_publisher(juliet: Client) -> None:
    def published(id: str, most: str) -> str:
        return (
            f"<pubsub xmlns='{ns.PUBSUB}'><publish node='n'><item id='{id}'/></publish>"
            f"<publish-options><x xmlns='{ns.DATA}' type='submit'>"
            f"<field var='pubsub#max_items'><value>{most}</value></field></x></publish-options>"
            "</pubsub>"
        )

    async def ids() -> list[str | None]:
        asked = f"<pubsub xmlns='{ns.PUBSUB}'><items node='n'/></pubsub>"
        answer = await juliet.ask("get", asked)
        return [item.get("id") for item in answer.elements[0].elements[0].elements]

    for id in ("a", "b", "c"):
        await juliet.ask("set", published(id, "max"))
    assert await ids() == ["a", "b", "c"]
    await juliet.ask("set", published("a", "2"))
    assert await ids() == ["c", "a"]
    assert await juliet.refused("set", published("d", "none")) == "bad-request"


async def test_every_request_of_converse_at_its_start_gets_a_response(juliet: Client) -> None:
    own = juliet.bare
    for kind, inside, to in (
        (
            "get",
            f"<pubsub xmlns='{ns.PUBSUB}'><items node='urn:xmpp:reactions:popular:0'/></pubsub>",
            own,
        ),
        ("get", INFO, "localhost"),
        ("get", f"<vCard xmlns='{ns.VCARD}'/>", ""),
        ("get", f"<query xmlns='{ns.ROSTER}'> \n </query>", ""),
        ("get", INFO, own),
        (
            "get",
            f"<pubsub xmlns='{ns.PUBSUB}'><items node='urn:xmpp:omemo:2:devices'/></pubsub>",
            own,
        ),
        ("get", ITEMS, "localhost"),
        ("set", f"<enable xmlns='{ns.CARBONS}'/>", ""),
        ("get", f"<blocklist xmlns='{ns.BLOCKING}'/>", ""),
        ("get", INFO, "pubsub.localhost"),
        ("get", ITEMS, "pubsub.localhost"),
        ("set", f"<session xmlns='{ns.SESSION}'/>", ""),
        ("get", f"<query xmlns='{ns.PRIVATE}'><storage xmlns='storage:bookmarks'/></query>", ""),
        ("get", "<unknown xmlns='unknown'/>", own),
        ("set", "<unknown xmlns='unknown'/>", "nobody@localhost/none"),
    ):
        answer = await juliet.iq(kind, inside, to)
        assert answer.get("type") in ("result", "error")
        assert answer.get("to") == juliet.jid
        assert answer.get("from") == (to or None)
