"""Recipients of messages: resources, carbon copies, offline messages, the archive, block lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pushhub.log.event import Draft
from pushhub.store.base import Append, append
from pushhub.xmpp.model import namespaces as ns
from pushhub.xmpp.routing.local_user import LocalUser
from tests.waiting import until
from tests.xmpp.world import body, condition

if TYPE_CHECKING:
    from pushhub.log.cursor import Cursor
    from pushhub.xml import Element
    from pushhub.xmpp.routing.session import XmppSession
    from tests.xmpp.world import Client, World


@pytest.fixture
async def romeo(world: World) -> Client:
    for name in ("romeo", "juliet"):
        await world.account(name)
    return await (await world.user("romeo", "orchard")).available()


async def juliets(world: World, resource: str, more: str = "") -> Client:
    return await (await world.user("juliet", resource)).available(more)


def bodies(client: Client) -> list[str | None]:
    """Take the bodies that a client has received so far."""
    found = [body(e) for e in client.seen if e.name == "message" and body(e)]
    client.seen.clear()
    return found


def copy_of(message: Element, which: str) -> Element:
    """The message in a carbon copy."""
    outer = message.find(which, ns.CARBONS)
    assert outer is not None
    inner = outer.find("forwarded", ns.FORWARD)
    assert inner is not None
    (stanza,) = inner.elements
    return stanza


async def caught_up(*clients: Client) -> None:
    """Wait for all messages sent so far: a message to the own account takes the same way."""
    for client in clients:
        client.chat(client.jid, "done", kind="normal", more="<private xmlns='urn:xmpp:carbons:2'/>")
        await client.message("done")


# -- resources -----------------------------------------------------------------


async def test_recipients_of_a_message(world: World, romeo: Client) -> None:
    phone, desk = await juliets(world, "phone"), await juliets(world, "desk")
    quiet = await juliets(world, "quiet", "<priority>-1</priority>")
    away = await world.user("juliet", "away")
    everybody = (phone, desk, quiet, away)
    romeo.chat("juliet@localhost", "all")
    romeo.chat("juliet@localhost/phone", "one")
    romeo.chat("juliet@localhost/none", "none")
    romeo.chat("juliet@localhost/quiet", "quiet")
    romeo.chat("juliet@localhost/away", "away")
    await caught_up(romeo, *everybody)
    assert bodies(phone) == ["all", "one", "none"]
    assert bodies(desk) == ["all", "none"]
    assert bodies(quiet) == ["quiet"]
    assert bodies(away) == ["away"]


@pytest.mark.parametrize("kind", ["headline", "groupchat", "error", "normal", "odd"])
async def test_recipients_by_message_type(world: World, romeo: Client, kind: str) -> None:
    juliet = await juliets(world, "balcony")
    romeo.chat("juliet@localhost/balcony", "full", kind=kind)
    await juliet.message("full")
    juliet.leave()
    await world.server.settle()
    romeo.chat("juliet@localhost", "later", kind=kind)
    await caught_up(romeo)
    later = await juliets(world, "again")
    await caught_up(later)
    assert bodies(later) == (["later"] if kind in ("normal", "odd") else [])


async def test_messages_without_a_body_are_not_archived(world: World, romeo: Client) -> None:
    juliet = await juliets(world, "balcony")
    composing = f"<composing xmlns='{ns.CHAT_STATES}'/>"
    romeo.say(f"<message xmlns='{ns.CLIENT}' to='{juliet.bare}' type='chat'>{composing}</message>")
    romeo.chat(juliet.bare, "hint", more=f"<no-store xmlns='{ns.HINTS}'/>")
    await juliet.next(lambda e: e.find("composing", ns.CHAT_STATES))
    await juliet.message("hint")
    fin = (await juliet.ask("set", f"<query xmlns='{ns.MAM}'/>")).elements[0]
    assert fin.find("set", ns.RSM) is not None
    assert not [e for e in juliet.seen if e.find("result", ns.MAM)]


async def test_an_id_cannot_be_forged(world: World, romeo: Client) -> None:
    juliet = await juliets(world, "balcony")
    forged = f"<stanza-id xmlns='{ns.STANZA_ID}' id='x' by='juliet@localhost'/>"
    romeo.chat("juliet@localhost", "hello", more=forged)
    message = await juliet.message("hello")
    (stamp,) = message.every("stanza-id", ns.STANZA_ID)
    assert stamp.get("id") != "x"


# -- offline messages ----------------------------------------------------------


async def test_offline_messages_are_delivered_at_login(world: World, romeo: Client) -> None:
    for text in ("one", "two", "three"):
        romeo.chat("juliet@localhost", text)
    await romeo.settled()
    silent = await world.user("juliet", "silent")
    await silent.available("<priority>-5</priority>")
    juliet = await juliets(world, "balcony")
    for text in ("one", "two", "three"):
        message = await juliet.message(text)
        late = message.find("delay", ns.DELAY)
        assert late is not None
        assert late.get("from") == "localhost"
    romeo.chat("juliet@localhost", "four")
    assert (await juliet.message("four")).find("delay", ns.DELAY) is None
    other = await juliets(world, "phone")
    await caught_up(silent, other)
    assert bodies(silent) == []
    assert bodies(other) == []
    for client in (silent, juliet, other):
        client.leave()
    await world.server.settle()
    again = await juliets(world, "again")
    await caught_up(again)
    assert bodies(again) == [], "they were delivered"


async def test_undelivered_messages_are_delivered_again(world: World, romeo: Client) -> None:
    """BOSH reports undelivered elements of a vanished client."""
    juliet = await juliets(world, "balcony")
    for text in ("one", "two", "three"):
        romeo.chat("juliet@localhost", text)
    await juliet.message("one")
    lost = [await juliet.message("two"), await juliet.message("three")]
    juliet.stream.closed((), lost)
    await world.server.settle()
    romeo.chat("juliet@localhost", "four")
    await romeo.settled()
    again = await juliets(world, "balcony")
    await caught_up(again)
    assert bodies(again) == ["two", "three", "four"]


async def test_messages_that_arrive_during_a_catch_up(
    world: World, romeo: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message that reaches the archive between its last page and the first live one."""
    flush = LocalUser._flush

    async def flush_and_more(home: LocalUser, session: XmppSession) -> Cursor | None:
        last = await flush(home, session)
        romeo.chat("juliet@localhost", "late")
        await romeo.settled()
        await until(lambda: home._held_back)
        return last

    monkeypatch.setattr(LocalUser, "_flush", flush_and_more)
    romeo.chat("juliet@localhost", "early")
    await romeo.settled()
    juliet = await juliets(world, "balcony")
    await caught_up(juliet)
    assert bodies(juliet) == ["early", "late"]


async def test_messages_keep_their_order_across_a_catch_up(world: World, romeo: Client) -> None:
    """Archived messages take longer than others."""
    juliet = await juliets(world, "balcony")
    chat_state = f"<message xmlns='{ns.CLIENT}' to='{juliet.jid}' type='chat' id='{{}}'>"
    chat_state += f"<paused xmlns='{ns.CHAT_STATES}'/></message>"
    for number in range(10):
        romeo.chat(juliet.jid, str(number))
        romeo.say(chat_state.format(number))
    await juliet.stanza("message", id="9")
    seen = [body(e) or e.get("id") for e in juliet.seen if e.name == "message"]
    assert seen == [str(n) for number in range(10) for n in (number, number)][:-1]


async def test_offline_delivery_is_limited_to_the_last_messages(
    world: World, romeo: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(world.settings.__dict__, "xmpp_offline", 2)
    for text in ("one", "two", "three"):
        romeo.chat("juliet@localhost", text)
    await romeo.settled()
    juliet = await juliets(world, "balcony")
    await caught_up(juliet)
    assert bodies(juliet) == ["two", "three"]


async def test_messages_to_a_vanished_client(world: World) -> None:
    one, other = await world.user(), await world.user()
    asked = f"<iq xmlns='{ns.CLIENT}' type='get' id='i' to='{other.jid}'><a xmlns='b'/></iq>"
    one.say(asked)
    one.chat(other.jid, "hello")
    iq = await other.stanza("iq", id="i")
    message = await other.message("hello")
    other.stream.closed((iq, message))
    assert condition(await one.stanza("iq", type="error")) == "service-unavailable"
    assert condition(await one.stanza("message", type="error")) == "recipient-unavailable"


# -- carbon copies -------------------------------------------------------------


async def test_carbons(world: World, romeo: Client) -> None:
    phone, desk = await juliets(world, "phone"), await juliets(world, "desk")
    for client in (phone, desk):
        await client.ask("set", f"<enable xmlns='{ns.CARBONS}'/>")
        await client.ask("set", f"<enable xmlns='{ns.CARBONS}'/>")
    romeo.chat("juliet@localhost/phone", "to the phone")
    await phone.message("to the phone")
    carbon = await desk.next(lambda e: e.find("received", ns.CARBONS))
    assert (carbon.get("from"), carbon.get("to")) == ("juliet@localhost", desk.jid)
    assert body(copy_of(carbon, "received")) == "to the phone"
    assert copy_of(carbon, "received").find("stanza-id", ns.STANZA_ID) is not None
    phone.chat("romeo@localhost", "from the phone")
    carbon = await desk.next(lambda e: e.find("sent", ns.CARBONS))
    assert body(copy_of(carbon, "sent")) == "from the phone"
    await caught_up(phone)
    assert not [e for e in phone.seen if e.name == "message"], "not to who has sent it"
    private = f"<private xmlns='{ns.CARBONS}'/>"
    romeo.chat("juliet@localhost/phone", "private", more=private)
    romeo.chat("juliet@localhost/phone", "room", kind="groupchat")
    await desk.ask("set", f"<disable xmlns='{ns.CARBONS}'/>")
    await phone.message("private")
    await phone.message("room")
    romeo.chat("juliet@localhost/phone", "not wanted")
    await phone.message("not wanted")
    await caught_up(desk)
    assert not [e for e in desk.seen if e.find("received", ns.CARBONS)]


# -- the archive ---------------------------------------------------------------


async def page(client: Client, fields: str = "", rsm: str = "") -> tuple[list[str | None], Element]:
    """The bodies of a page of the archive, and its `<fin/>`."""
    form = f"<field var='FORM_TYPE' type='hidden'><value>{ns.MAM}</value></field>{fields}"
    answer = await client.ask(
        "set",
        f"<query xmlns='{ns.MAM}' queryid='q'><x xmlns='{ns.DATA}' type='submit'>{form}</x>"
        f"<set xmlns='{ns.RSM}'>{rsm}</set></query>",
    )
    found = []
    for message in [e for e in client.seen if e.find("result", ns.MAM)]:
        client.seen.remove(message)
        result = message.find("result", ns.MAM)
        assert result is not None
        assert result.get("queryid") == "q"
        inner = result.find("forwarded", ns.FORWARD)
        assert inner is not None
        found.append(body(inner.elements[1]))
    return found, answer.elements[0]


def ends(fin: Element) -> tuple[str, str]:
    rsm = fin.find("set", ns.RSM)
    assert rsm is not None
    first, last = rsm.find("first"), rsm.find("last")
    assert first is not None
    assert last is not None
    return first.text, last.text


def field(name: str, value: str) -> str:
    return f"<field var='{name}'><value>{value}</value></field>"


async def test_archive_pages(world: World, romeo: Client) -> None:
    await world.account("nurse")
    juliet = await juliets(world, "balcony")
    for number in range(7):
        romeo.chat("juliet@localhost", str(number))
    await juliet.message("6")
    juliet.chat("romeo@localhost", "7")
    juliet.chat("nurse@localhost", "8")
    await romeo.message("7")
    await juliet.settled()
    everything = [str(number) for number in range(9)]
    found, fin = await page(juliet)
    assert (found, fin.get("complete")) == (everything, "true")
    # Forwards.
    found, fin = await page(juliet, rsm="<max>4</max>")
    assert (found, fin.get("complete")) == (everything[:4], None)
    found, fin = await page(juliet, rsm=f"<max>10</max><after>{ends(fin)[1]}</after>")
    assert (found, fin.get("complete")) == (everything[4:], "true")
    # Backwards, as Converse.js does.
    found, fin = await page(juliet, rsm="<max>4</max><before/>")
    assert (found, fin.get("complete")) == (everything[5:], None)
    found, fin = await page(juliet, rsm=f"<max>5</max><before>{ends(fin)[0]}</before>")
    assert (found, fin.get("complete")) == (everything[:5], "true")
    # By contact, and by resource.
    found, _ = await page(juliet, field("with", "nurse@localhost"))
    assert found == ["8"]
    found, _ = await page(juliet, field("with", "romeo@localhost"), "<max>3</max><before/>")
    assert found == ["5", "6", "7"]
    found, _ = await page(juliet, field("with", "romeo@localhost/orchard"))
    assert found == everything[:7]
    # By ids.
    first, last = ends((await page(juliet))[1])
    values = f"<field var='ids'><value>{last}</value><value>{first}</value></field>"
    assert (await page(juliet, values))[0] == ["8", "0"]
    assert (await page(juliet, field("after-id", first)))[0] == everything[1:]
    assert (await page(juliet, field("before-id", last)))[0] == everything[:-1]
    # The contact has an archive of its own.
    found, _ = await page(romeo)
    assert found == everything[:8]
    told = await juliet.ask("get", f"<metadata xmlns='{ns.MAM}'/>")
    assert [e.get("id") for e in told.elements[0].elements] == [first, last]


async def test_archive_filters_by_time(world: World, romeo: Client) -> None:
    from pushhub.log.event import rfc3339

    juliet = await juliets(world, "balcony")
    for text in ("a", "b"):
        romeo.chat("juliet@localhost", text)
    await juliet.message("b")
    found, fin = await page(juliet)
    metadata = (await juliet.ask("get", f"<metadata xmlns='{ns.MAM}'/>")).elements[0]
    stamps = [e.get("timestamp") or "" for e in metadata.elements]
    assert (await page(juliet, field("start", stamps[0])))[0] == ["a", "b"]
    assert (await page(juliet, field("end", stamps[1])))[0] == ["a", "b"]
    assert (await page(juliet, field("start", "2100-01-01T00:00:00Z")))[0] == []
    assert (await page(juliet, field("end", "2000-01-01T00:00:00Z")))[0] == []
    assert found
    assert fin is not None
    assert rfc3339(0).startswith("1970")


@pytest.mark.parametrize(
    ("fields", "rsm", "expected"),
    [
        (field("with", "a b"), "", "jid-malformed"),
        (field("start", "yesterday"), "", "bad-request"),
        (field("odd", "1"), "", "feature-not-implemented"),
        (field("after-id", "nonsense"), "", "item-not-found"),
        (field("ids", "abc-17"), "", "item-not-found"),
        ("", "<after>abc-1</after>", "item-not-found"),
        ("", "<max>x</max>", "bad-request"),
        ("", "<index>1</index>", "feature-not-implemented"),
    ],
)
async def test_archive_queries_without_a_result(
    small: World, fields: str, rsm: str, expected: str
) -> None:
    await small.account("juliet")
    juliet = await small.user("juliet")
    query = (
        f"<query xmlns='{ns.MAM}'><x xmlns='{ns.DATA}' type='submit'>{fields}</x>"
        f"<set xmlns='{ns.RSM}'>{rsm}</set></query>"
    )
    assert await juliet.refused("set", query) == expected


async def test_the_archive_of_another_account_is_forbidden(small: World) -> None:
    for name in ("romeo", "juliet"):
        await small.account(name)
    romeo = await small.user("romeo")
    query = f"<query xmlns='{ns.MAM}'/>"
    assert await romeo.refused("set", query, "juliet@localhost") == "forbidden"


async def test_an_empty_archive(world: World, romeo: Client) -> None:
    found, fin = await page(romeo)
    assert (found, fin.get("complete")) == ([], "true")
    assert fin.find("set", ns.RSM) is not None


# -- blocking ------------------------------------------------------------------


def block(what: str, *jids: str) -> str:
    items = "".join(f"<item jid='{jid}'/>" for jid in jids)
    return f"<{what} xmlns='{ns.BLOCKING}'>{items}</{what}>"


async def test_blocked_contacts(world: World, romeo: Client) -> None:
    juliet, other = await juliets(world, "balcony"), await juliets(world, "phone")
    await other.ask("get", block("blocklist"))
    await juliet.ask("set", block("block", "romeo@localhost"))
    push = await other.next(lambda e: e.name == "iq" and e.find("block", ns.BLOCKING))
    assert push.elements[0].elements[0].get("jid") == "romeo@localhost"
    romeo.chat("juliet@localhost", "can you hear me?")
    assert condition(await romeo.stanza("message", type="error")) == "service-unavailable"
    ping = f"<ping xmlns='{ns.PING}'/>"
    assert await romeo.refused("get", ping, juliet.jid) == "service-unavailable"
    romeo.say(f"<presence xmlns='{ns.CLIENT}' to='{juliet.jid}'/>")
    juliet.chat("romeo@localhost", "I do not")
    refused = await juliet.stanza("message", type="error")
    assert condition(refused) == "not-acceptable"
    listed = await juliet.ask("get", block("blocklist"))
    assert [e.get("jid") for e in listed.elements[0].elements] == ["romeo@localhost"]
    await juliet.ask("set", block("unblock", "romeo@localhost"))
    await other.next(lambda e: e.name == "iq" and e.find("unblock", ns.BLOCKING))
    romeo.chat("juliet@localhost", "and now?")
    await juliet.message("and now?")
    assert not [e for e in juliet.seen if e.name == "presence" and e.get("from") == romeo.jid]


@pytest.mark.parametrize(
    "jid", ["romeo@localhost/orchard", "romeo@localhost", "localhost", "localhost/orchard"]
)
async def test_addresses_of_a_block(world: World, romeo: Client, jid: str) -> None:
    juliet = await juliets(world, "balcony")
    await juliet.ask("set", block("block", jid))
    romeo.chat("juliet@localhost", "hello")
    assert condition(await romeo.stanza("message", type="error")) == "service-unavailable"
    await juliet.ask("set", block("unblock"))
    romeo.chat("juliet@localhost", "hello")
    await juliet.message("hello")


VCARD = f"<vCard xmlns='{ns.VCARD}'/>"


async def test_a_blocked_contact_cannot_send_iqs(world: World, romeo: Client) -> None:
    """Responses of the server for an account are refused like those of its clients."""
    juliet = await juliets(world, "balcony")
    card = f"<vCard xmlns='{ns.VCARD}'><FN>Juliet</FN></vCard>"
    items = f"<pubsub xmlns='{ns.PUBSUB}'><items node='urn:xmpp:bookmarks:1'/></pubsub>"
    unknown, info = "<unknown xmlns='u'/>", f"<query xmlns='{ns.DISCO_INFO}'/>"
    await juliet.ask("set", card)
    assert (await romeo.ask("get", VCARD, juliet.bare)).elements[0].elements
    await juliet.ask("set", block("block", "romeo@localhost"))
    for asked in (VCARD, items, unknown, info):
        # The same error as for an unknown account.
        assert await romeo.refused("get", asked, juliet.bare) == "service-unavailable"
        assert await romeo.refused("get", asked, "nobody@localhost") == "service-unavailable"
        refused = await juliet.iq("get", asked, romeo.bare)
        assert condition(refused) == "not-acceptable"
        error = refused.find("error")
        assert error is not None
        assert error.find("blocked", ns.BLOCKING_ERRORS) is not None
    await world.account("nurse")
    stranger = await world.user("nurse")
    assert (await stranger.ask("get", VCARD, juliet.bare)).elements[0].elements
    await juliet.ask("set", block("unblock", "romeo@localhost"))
    assert (await romeo.ask("get", VCARD, juliet.bare)).elements[0].elements
    assert await juliet.refused("get", VCARD, romeo.bare) == "service-unavailable"


async def test_presence_to_a_blocked_contact_is_refused(world: World, romeo: Client) -> None:
    juliet = await juliets(world, "balcony")
    await juliet.ask("set", block("block", "romeo@localhost"))
    for kind in ("", " type='subscribe'", " type='subscribed'", " type='unavailable'"):
        juliet.say(f"<presence xmlns='{ns.CLIENT}' to='{romeo.bare}'{kind}/>")
        assert condition(await juliet.stanza("presence", type="error")) == "not-acceptable"
    await romeo.settled()
    assert not [e for e in romeo.seen if (e.get("from") or "").startswith("juliet@")]


async def test_a_blocked_service_sends_no_notifications(world: World, romeo: Client) -> None:
    """Neither an account nor its sessions are notified; the subscriptions outlive the block."""
    juliet = await juliets(world, "balcony")
    phone = await world.user("juliet", "phone")
    service = "pubsub.localhost"

    def subscribe(jid: str, node: str) -> str:
        return f"<pubsub xmlns='{ns.PUBSUB}'><subscribe node='{node}' jid='{jid}'/></pubsub>"

    def told(client: Client) -> list[str]:
        events = [e.find("event", ns.PUBSUB_EVENT) for e in client.seen]
        return [event.elements[0].get("node") or "" for event in events if event is not None]

    async def published(data: bytes) -> None:
        for node in ("news", "talk"):
            await append(world.server.hub.store, Append(node, Draft(data)))
        # Romeo has the same subscriptions, and is notified after the others.
        await romeo.next(lambda e: e.find("event", ns.PUBSUB_EVENT) and "talk" in e.xml())
        for client in (juliet, phone):
            await client.settled()

    await juliet.ask("set", subscribe(juliet.bare, "news"), service)
    await phone.ask("set", subscribe(phone.jid, "talk"), service)
    for node in ("news", "talk"):
        await romeo.ask("set", subscribe(romeo.jid, node), service)
    await published(b"1")
    # The order of two channels is undefined.
    await until(lambda: (told(juliet), sorted(told(phone))) == (["news"], ["news", "talk"]))
    for client in (juliet, phone, romeo):
        client.seen.clear()
    await juliet.ask("set", block("block", service))
    await published(b"2")
    # A new session, and requests to the service.
    desk = await juliets(world, "desk")
    assert await desk.refused("get", "<ping xmlns='urn:xmpp:ping'/>", service) == "not-acceptable"
    await published(b"3")
    assert [told(client) for client in (juliet, phone, desk)] == [[], [], []]
    await juliet.ask("set", block("unblock"))
    romeo.seen.clear()
    await published(b"4")
    assert (told(juliet), told(phone), told(desk)) == (["news"], ["news", "talk"], ["news"])


async def test_invalid_blocks(small: World) -> None:
    await small.account("juliet")
    juliet = await small.user("juliet")
    assert await juliet.refused("set", block("block")) == "bad-request"
    assert await juliet.refused("set", block("block", "a b@c")) == "jid-malformed"
    stranger = await small.user()
    assert await stranger.refused("set", block("block", "a@b")) == "not-allowed"
