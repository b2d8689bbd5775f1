"""PubSub, where a node is a channel: REST and XMPP receive each other's events."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import orjson
import pytest

from pushhub.http.response import Response
from pushhub.hub.hold import Hold
from pushhub.log.channel import Patterns
from pushhub.log.cursor import Start
from pushhub.log.event import Draft
from pushhub.log.grant import Grant
from pushhub.log.read import Page
from pushhub.polls.feed import FeedPoll
from pushhub.store.base import Append, append
from pushhub.xmpp.model import namespaces as ns
from tests.store.labs import Clock, make_lab
from tests.xmpp.world import World, condition

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from pushhub.hub.observer import HubObserver
    from pushhub.xml import Element
    from tests.xmpp.world import Client

SERVICE = "pubsub.localhost"


async def rest_publishes(world: World, channel: str, data: bytes, type: str = "") -> None:
    """Publish as the REST endpoint does."""
    await append(world.server.hub.store, Append(channel, Draft(data, type=type)))


def pubsub(inside: str, owner: bool = False) -> str:
    namespace = ns.PUBSUB_OWNER if owner else ns.PUBSUB
    return f"<pubsub xmlns='{namespace}'>{inside}</pubsub>"


async def subscribe(client: Client, node: str, jid: str = "") -> Element:
    jid = jid or client.jid
    return await client.ask("set", pubsub(f"<subscribe node='{node}' jid='{jid}'/>"), SERVICE)


async def publish(client: Client, node: str, json: str, id: str = "") -> Element:
    item = f"<item{f' id={id!r}' if id else ''}><json xmlns='{ns.JSON}'>{json}</json></item>"
    inside = pubsub(f"<publish node='{node}'>{item}</publish>")
    return await client.ask("set", inside, SERVICE)


async def notified(client: Client) -> Element:
    """The `<items/>` or `<delete/>` of the next notification."""
    message = await client.stanza("message", type="headline", sender=SERVICE)
    event = message.find("event", ns.PUBSUB_EVENT)
    assert event is not None
    return event.elements[0]


def json_of(items: Element) -> object:
    (item,) = items.elements
    (payload,) = item.elements
    assert (payload.name, payload.namespace) == ("json", ns.JSON)
    return orjson.loads(payload.text)


async def test_a_publisher_receives_the_generated_id(world: World) -> None:
    client = await world.user()
    told = await publish(client, "news", '{"a": 1}')
    id = told.elements[0].elements[0].elements[0].get("id")
    assert id
    # The id names the item from then on.
    found = await client.ask(
        "get", pubsub(f"<items node='news'><item id='{id}'/></items>"), SERVICE
    )
    assert [item.get("id") for item in found.elements[0].elements[0].elements] == [id]
    await client.ask("set", pubsub(f"<retract node='news'><item id='{id}'/></retract>"), SERVICE)
    # An id of the publisher is kept.
    told = await publish(client, "news", '{"a": 2}', "mine")
    assert told.elements[0].elements[0].elements[0].get("id") == "mine"


async def test_events_of_rest_are_notified(world: World) -> None:
    client = await world.user()
    await subscribe(client, "news")
    await rest_publishes(world, "news", b'{"a": "<&>"}')
    items = await notified(client)
    assert items.get("node") == "news"
    assert json_of(items) == {"a": "<&>"}


async def test_a_published_item_completes_a_long_poll(world: World) -> None:
    client = await world.user()
    held = world.server.hub.hold(FeedPoll("news", Start.NOW, 100, 20))
    assert isinstance(held, Hold)
    answers: asyncio.Queue[Response] = asyncio.Queue()

    class Driver:
        def deliver(self, reply: object) -> None:
            assert isinstance(reply, Response)
            answers.put_nowait(reply)

    held.attach(Driver())
    await publish(client, "news", '{"b": 2}', "one")
    answer = await asyncio.wait_for(answers.get(), 5)
    (event,) = orjson.loads(answer.body)["events"]
    assert event["data"] == {"b": 2}
    assert event["id"] == "one"


@pytest.mark.parametrize(
    "data", ["18446744073709551616", '{"a": 0.10, "a":  2}', "3.14159265358979323846264338"]
)
async def test_json_keeps_its_bytes_in_both_directions(world: World, data: str) -> None:
    client = await world.user()
    await subscribe(client, "news")
    await publish(client, "news", data)
    page = await world.server.hub.store.read("news", Start.LAST, 1)
    assert isinstance(page, Page)
    assert page.events[-1].data == data.encode()
    items = await notified(client)
    assert items.elements[0].elements[0].text == data


async def test_a_new_subscriber_receives_the_last_item_immediately(world: World) -> None:
    client = await world.user()
    for number in (1, 2):
        await rest_publishes(world, "news", b"%d" % number)
    await subscribe(client, "news")
    message = await client.stanza("message", type="headline")
    assert message.find("delay", ns.DELAY) is not None
    event = message.find("event", ns.PUBSUB_EVENT)
    assert event is not None
    assert json_of(event.elements[0]) == 2


async def test_the_subscription_of_a_bare_address_is_permanent(world: World) -> None:
    await world.account("juliet")
    first = await (await world.user("juliet", "one")).available()
    await subscribe(first, "news", "juliet@localhost")
    second = await (await world.user("juliet", "two")).available()
    await rest_publishes(world, "news", b"1")
    assert json_of(await notified(first)) == 1
    assert json_of(await notified(second)) == 1
    first.leave()
    second.leave()
    again = await (await world.user("juliet", "three")).available()
    await rest_publishes(world, "news", b"2")
    assert json_of(await notified(again)) == 2
    listed = await again.ask("get", pubsub("<subscriptions/>"), SERVICE)
    assert [e.get("node") for e in listed.elements[0].elements[0].elements] == ["news"]


async def test_no_notification_after_unsubscribing(world: World) -> None:
    client = await world.user()
    await subscribe(client, "news")
    gone = pubsub(f"<unsubscribe node='news' jid='{client.jid}'/>")
    await client.ask("set", gone, SERVICE)
    await rest_publishes(world, "news", b"1")
    await client.settled()
    assert not client.seen
    assert await client.refused("set", gone, SERVICE) == "unexpected-request"


async def test_items_are_read_and_retracted(world: World) -> None:
    client = await world.user()
    for id in ("one", "two", "three"):
        await publish(client, "news", f'"{id}"', id)
    items = pubsub("<items node='news'/>")
    answer = (await client.ask("get", items, SERVICE)).elements[0].elements[0]
    assert [item.get("id") for item in answer.elements] == ["one", "two", "three"]
    await subscribe(client, "news")
    await client.stanza("message", type="headline")
    await client.ask("set", pubsub("<retract node='news'><item id='two'/></retract>"), SERVICE)
    (retraction,) = (await notified(client)).elements
    assert (retraction.name, retraction.get("id")) == ("retract", "two")
    answer = (await client.ask("get", items, SERVICE)).elements[0].elements[0]
    assert [item.get("id") for item in answer.elements] == ["one", "three"]
    one = pubsub("<items node='news'><item id='three'/></items>")
    answer = (await client.ask("get", one, SERVICE)).elements[0].elements[0]
    assert json_of(answer) == "three"
    last = pubsub("<items node='news' max_items='1'/>")
    answer = (await client.ask("get", last, SERVICE)).elements[0].elements[0]
    assert [item.get("id") for item in answer.elements] == ["three"]
    retract = pubsub("<retract node='news'><item id='two'/></retract>")
    assert await client.refused("set", retract, SERVICE) == "item-not-found"


async def test_xml_stays_xml(small: World) -> None:
    client = await small.user()
    await subscribe(client, "news")
    entry = "<entry xmlns='http://www.w3.org/2005/Atom'><title>a &amp; b</title></entry>"
    await client.ask("set", pubsub(f"<publish node='news'><item>{entry}</item></publish>"), SERVICE)
    (item,) = (await notified(client)).elements
    assert item.elements[0].namespace == "http://www.w3.org/2005/Atom"
    read = await small.server.hub.store.read("news", Start.LAST, 1)
    assert isinstance(read, Page)
    assert read.events[0].content_type == "application/xml"


async def test_text_and_bytes_arrive_as_json(small: World) -> None:
    client = await small.user()
    await subscribe(client, "news")
    store = small.server.hub.store
    await append(store, Append("news", Draft(b"a <b>", "text/plain; charset=utf-8")))
    assert json_of(await notified(client)) == "a <b>"
    await append(store, Append("news", Draft(b"\x00\xff", "image/png")))
    assert json_of(await notified(client)) == {
        "content_type": "image/png",
        "encoding": "base64",
        "data": "AP8=",
    }


async def test_a_node_is_created_configured_and_deleted(world: World) -> None:
    await world.account("juliet")
    juliet, other = await world.user("juliet"), await world.user()
    await juliet.ask("set", pubsub("<create node='hers'/>"), SERVICE)
    assert await juliet.refused("set", pubsub("<create node='hers'/>"), SERVICE) == "conflict"
    form = (
        f"<configure node='hers'><x xmlns='{ns.DATA}' type='submit'>"
        "<field var='pubsub#title'><value>Hers</value></field></x></configure>"
    )
    await juliet.ask("set", pubsub(form, owner=True), SERVICE)
    info = f"<query xmlns='{ns.DISCO_INFO}' node='hers'/>"
    told = (await juliet.ask("get", info, SERVICE)).elements[0]
    assert told.elements[0].get("name") == "Hers"
    await subscribe(other, "hers")
    await rest_publishes(world, "hers", b"1")
    assert json_of(await notified(other)) == 1
    await juliet.ask("set", pubsub("<delete node='hers'/>", owner=True), SERVICE)
    gone = await notified(other)
    assert (gone.name, gone.get("node")) == ("delete", "hers")
    delete = pubsub("<delete node='hers'/>", owner=True)
    assert await juliet.refused("set", delete, SERVICE) == "item-not-found"


async def test_empty_nodes_are_listed(world: World) -> None:
    await world.account("juliet")
    juliet = await world.user("juliet")

    async def listed(page: str = "") -> list[str | None]:
        items = f"<query xmlns='{ns.DISCO_ITEMS}'><set xmlns='{ns.RSM}'>{page}</set></query>"
        answer = await juliet.ask("get", items, SERVICE)
        return [e.get("node") for e in answer.elements[0].elements if e.name == "item"]

    await rest_publishes(world, "b", b"1")
    for node in ("a", "c", "b", "\u00e4"):
        await juliet.ask("set", pubsub(f"<create node='{node}'/>"), SERVICE)
    assert await listed() == ["a", "b", "c", "\u00e4"]
    assert await listed("<max>2</max>") == ["a", "b"]
    assert await listed("<max>2</max><after>b</after>") == ["c", "\u00e4"]
    await juliet.ask("set", pubsub("<delete node='c'/>", owner=True), SERVICE)
    assert await listed() == ["a", "b", "\u00e4"]
    # An empty node is a node, too.
    items = f"<query xmlns='{ns.DISCO_ITEMS}' node='a'/>"
    assert not (await juliet.ask("get", items, SERVICE)).elements[0].elements


async def test_max_items_is_kept_or_refused(world: World) -> None:
    await world.account("juliet")
    juliet = await world.user("juliet")

    def configured(value: str, field: str = "pubsub#max_items") -> str:
        form = (
            f"<configure node='hers'><x xmlns='{ns.DATA}' type='submit'>"
            f"<field var='{field}'><value>{value}</value></field></x></configure>"
        )
        return pubsub(form, owner=True)

    async def ids(attributes: str = "") -> list[str | None]:
        answer = await juliet.ask("get", pubsub(f"<items node='hers'{attributes}/>"), SERVICE)
        return [item.get("id") for item in answer.elements[0].elements[0].elements]

    await juliet.ask("set", pubsub("<create node='hers'/>"), SERVICE)
    for number in range(5):
        await publish(juliet, "hers", str(number), f"i{number}")
    assert await ids(" max_items='2'") == ["i3", "i4"]
    assert await ids(" max_items='max'") == [f"i{number}" for number in range(5)]
    for wrong in ("0", "-1", "x", ""):
        asked = pubsub(f"<items node='hers' max_items='{wrong}'/>")
        assert await juliet.refused("get", asked, SERVICE) == "bad-request"
    await juliet.ask("set", configured("3"), SERVICE)
    assert await ids() == ["i2", "i3", "i4"]
    assert await ids(" max_items='4'") == ["i2", "i3", "i4"]
    old = pubsub("<retract node='hers'><item id='i0'/></retract>")
    assert await juliet.refused("set", old, SERVICE) == "item-not-found"
    form = await juliet.ask("get", pubsub("<configure node='hers'/>", owner=True), SERVICE)
    assert "<field var='pubsub#max_items' type='text-single'><value>3</value>" in form.xml()
    await juliet.ask("set", configured("max"), SERVICE)
    assert len(await ids()) == 5
    for wrong in ("0", "1001", "x", ""):
        assert await juliet.refused("set", configured(wrong), SERVICE) == "not-acceptable"
    # Other settings without an effect are refused, too.
    await juliet.ask("set", configured("true", "pubsub#persist_items"), SERVICE)
    for field, value in (("pubsub#persist_items", "0"), ("pubsub#item_expire", "60")):
        assert await juliet.refused("set", configured(value, field), SERVICE) == "not-acceptable"
    options = pubsub(
        "<publish node='hers'><item><json xmlns='urn:xmpp:json:0'>1</json></item></publish>"
        f"<publish-options><x xmlns='{ns.DATA}' type='submit'/></publish-options>"
    )
    assert await juliet.refused("set", options, SERVICE) == "feature-not-implemented"


@pytest.fixture
async def strict(tmp_path: Path) -> AsyncIterator[World]:
    """A world where grants count."""
    lab = make_lab("memory", tmp_path, Clock())
    world = World(lab.make, shared=False, dev=False, xmpp_domains=["localhost"])
    await world.node()
    grant = Grant(Patterns(["news"]), Patterns(["news"]), Patterns(["hers"]))
    await world.server.accounts.add("juliet", "localhost", "Neither, fair saint", grant)
    await world.account("romeo")
    yield world
    await world.close()


async def test_grants_decide(strict: World) -> None:
    juliet, romeo = await strict.user("juliet"), await strict.user("romeo")
    await publish(juliet, "news", "1")
    for inside in (
        f"<subscribe node='news' jid='{romeo.jid}'/>",
        f"<publish node='news'><item><json xmlns='{ns.JSON}'>1</json></item></publish>",
        "<create node='news'/>",
    ):
        assert await romeo.refused("set", pubsub(inside), SERVICE) == "forbidden"
    assert await romeo.refused("get", pubsub("<items node='news'/>"), SERVICE) == "forbidden"
    listed = await romeo.ask("get", f"<query xmlns='{ns.DISCO_ITEMS}'/>", SERVICE)
    assert not list(listed.elements[0].every("item"))
    listed = await juliet.ask("get", f"<query xmlns='{ns.DISCO_ITEMS}'/>", SERVICE)
    assert [e.get("node") for e in listed.elements[0].every("item")] == ["news"]


async def test_affiliations_give_and_deny_access(strict: World) -> None:
    juliet, romeo = await strict.user("juliet"), await strict.user("romeo")
    await juliet.ask("set", pubsub("<create node='hers'/>"), SERVICE)
    assert await romeo.refused("get", pubsub("<items node='hers'/>"), SERVICE) == "forbidden"
    let_in = (
        "<affiliations node='hers'>"
        "<affiliation jid='romeo@localhost' affiliation='publisher'/></affiliations>"
    )
    await juliet.ask("set", pubsub(let_in, owner=True), SERVICE)
    await publish(romeo, "hers", "1")
    await romeo.ask("get", pubsub("<items node='hers'/>"), SERVICE)
    # An owner can exclude an account that a grant allows.
    grant = Grant(Patterns(["hers"]))
    await strict.server.accounts.add("nurse", "localhost", "Neither, fair saint", grant)
    nurse = await strict.user("nurse")
    await nurse.ask("get", pubsub("<items node='hers'/>"), SERVICE)
    put_out = let_in.replace("romeo", "nurse").replace("publisher", "outcast")
    await juliet.ask("set", pubsub(put_out, owner=True), SERVICE)
    assert await nurse.refused("get", pubsub("<items node='hers'/>"), SERVICE) == "forbidden"
    out = let_in.replace("publisher", "outcast")
    await juliet.ask("set", pubsub(out, owner=True), SERVICE)
    assert await romeo.refused("get", pubsub("<items node='hers'/>"), SERVICE) == "forbidden"


async def test_an_account_cannot_subscribe_another(small: World) -> None:
    client = await small.user()
    subscription = pubsub("<subscribe node='news' jid='juliet@localhost'/>")
    assert await client.refused("set", subscription, SERVICE) == "bad-request"


@pytest.mark.parametrize("node", ["$xmpp:account:juliet@localhost", "x" * 256])
async def test_internal_channels_are_unreachable(small: World, node: str) -> None:
    client = await small.user()
    for kind, inside in (
        ("get", f"<items node='{node}'/>"),
        ("set", f"<subscribe node='{node}' jid='{client.jid}'/>"),
        ("set", f"<publish node='{node}'><item><a xmlns='b'/></item></publish>"),
        ("set", f"<create node='{node}'/>"),
    ):
        assert await client.refused(kind, pubsub(inside), SERVICE) == "item-not-found"
    delete = pubsub(f"<delete node='{node}'/>", owner=True)
    assert await client.refused("set", delete, SERVICE) == "item-not-found"


@pytest.mark.parametrize(
    ("kind", "inside", "expected"),
    [
        ("set", "", "bad-request"),
        ("set", "<publish node='news'/>", "bad-request"),
        ("set", "<publish node='news'><item/></publish>", "bad-request"),
        ("set", "<publish><item><a xmlns='b'/></item></publish>", "bad-request"),
        (
            "set",
            f"<publish node='n'><item><json xmlns='{ns.JSON}'>{{</json></item></publish>",
            "bad-request",
        ),
        ("set", "<options node='news'/>", "feature-not-implemented"),
        ("set", "<retract node='news'/>", "bad-request"),
    ],
)
async def test_invalid_and_unsupported_requests(
    small: World, kind: str, inside: str, expected: str
) -> None:
    client = await small.user()
    assert condition(await client.iq(kind, pubsub(inside), SERVICE)) == expected


class Publishes:
    """An observer of a hub that takes note of publishes."""

    def __init__(self) -> None:
        self.channels: list[str] = []

    def published(self, appends: list[Append], done: Any) -> Any:
        self.channels += [append.channel for append in appends]
        return appends, done

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: None


async def test_publishes_and_retractions_are_counted_and_observed(world: World) -> None:
    """As those of REST; the server's own records are neither."""
    client = await world.user()
    await client.ask("set", pubsub("<create node='news'/>"), SERVICE)
    hub = world.server.hub
    before, observer = hub.stats.publish_ok, Publishes()
    hub.observer = cast("HubObserver", observer)
    await publish(client, "news", "1", "one")
    await client.ask("set", pubsub("<retract node='news'><item id='one'/></retract>"), SERVICE)
    hub.observer = None
    assert observer.channels == ["news", "news"]
    assert hub.stats.publish_ok == before + 2
