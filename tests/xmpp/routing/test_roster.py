"""Rosters, subscriptions and presence, by the flows of RFC 6121."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pushhub.xmpp.model import namespaces as ns
from tests.xmpp.world import condition

if TYPE_CHECKING:
    from pushhub.xml import Element
    from tests.xmpp.world import Client, World

GET = f"<query xmlns='{ns.ROSTER}'/>"


def item(more: str) -> str:
    return f"<query xmlns='{ns.ROSTER}'><item {more}</query>"


async def pushed(client: Client) -> Element:
    """The item of the next roster push."""
    push = await client.next(
        lambda e: e.name == "iq" and e.get("type") == "set" and e.find("query", ns.ROSTER)
    )
    assert push.get("from") in (None, client.bare)
    return push.elements[0].elements[0]


async def roster(client: Client) -> dict[str, str]:
    answer = await client.ask("get", GET)
    return {
        each.get("jid") or "": (each.get("subscription") or "") + (each.get("ask") or "")
        for each in answer.elements[0].elements
    }


def presence(client: Client, kind: str, to: str) -> None:
    client.say(f"<presence xmlns='{ns.CLIENT}' type='{kind}' to='{to}'/>")


@pytest.fixture
async def couple(world: World) -> tuple[Client, Client]:
    clients = []
    for name, resource in (("romeo", "orchard"), ("juliet", "balcony")):
        await world.account(name)
        client = await world.user(name, resource)
        await client.ask("get", GET)
        clients.append(await client.available())
    return clients[0], clients[1]


async def friends(couple: tuple[Client, Client]) -> None:
    """Both accounts subscribe to each other's presence."""
    romeo, juliet = couple
    presence(romeo, "subscribe", juliet.bare)
    await juliet.stanza("presence", type="subscribe")
    presence(juliet, "subscribed", romeo.bare)
    presence(juliet, "subscribe", romeo.bare)
    await romeo.stanza("presence", type="subscribe")
    presence(romeo, "subscribed", juliet.bare)
    await juliet.stanza("presence", type="subscribed")
    await juliet.next(lambda e: e.name == "presence" and e.get("from") == romeo.jid)
    for client in couple:
        await client.settled()
        client.seen.clear()


async def test_a_roster_is_set_and_read(world: World) -> None:
    await world.account("juliet")
    one, other = await world.user("juliet"), await world.user("juliet")
    assert await roster(one) == {}
    await one.ask("set", item("jid='Nurse@localhost/x' name='Nurse'><group>a</group></item>"))
    change = await pushed(one)
    assert (change.get("jid"), change.get("name")) == ("nurse@localhost", "Nurse")
    assert [group.text for group in change.elements] == ["a"]
    assert not [e for e in other.seen if e.name == "iq"], "who has not asked is not told"
    assert await roster(other) == {"nurse@localhost": "none"}
    await other.ask("set", item("jid='nurse@localhost' subscription='remove'/>"))
    assert (await pushed(one)).get("subscription") == "remove"
    assert await roster(one) == {}
    gone = item("jid='nurse@localhost' subscription='remove'/>")
    assert await one.refused("set", gone) == "item-not-found"


async def test_a_known_version_is_not_sent_again(world: World) -> None:
    await world.account("juliet")
    juliet = await world.user("juliet")
    await juliet.ask("set", item("jid='nurse@localhost'/>"))
    version = (await juliet.ask("get", GET)).elements[0].get("ver")
    again = await juliet.ask("get", f"<query xmlns='{ns.ROSTER}' ver='{version}'/>")
    assert not again.elements
    old = await juliet.ask("get", f"<query xmlns='{ns.ROSTER}' ver='0'/>")
    assert old.elements[0].elements


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (f"<query xmlns='{ns.ROSTER}'/>", "bad-request"),
        (item("jid='a@localhost'/><item jid='b@localhost'/>"), "bad-request"),
        (item("jid='a b@localhost'/>"), "jid-malformed"),
        (item("jid='a@localhost'><group>x</group><group>x</group></item>"), "bad-request"),
        (item("jid='a@localhost'><group/></item>"), "not-acceptable"),
        (item(f"jid='a@localhost' name='{'x' * 1024}'/>"), "not-acceptable"),
        (item("jid='juliet@localhost'/>"), "not-allowed"),
    ],
)
async def test_invalid_roster_items(small: World, query: str, expected: str) -> None:
    await small.account("juliet")
    juliet = await small.user("juliet")
    assert await juliet.refused("set", query) == expected


async def test_a_full_roster_refuses_contacts(small: World) -> None:
    await small.account("juliet")
    juliet = await small.user("juliet")
    object.__setattr__(small.server.rosters, "_max_contacts", 2)
    for name in ("a", "b"):
        await juliet.ask("set", item(f"jid='{name}@localhost'/>"))
    assert await juliet.refused("set", item("jid='c@localhost'/>")) == "resource-constraint"
    await juliet.ask("set", item("jid='a@localhost' name='A'/>"))


async def test_a_subscription_is_requested_and_granted(couple: tuple[Client, Client]) -> None:
    romeo, juliet = couple
    presence(romeo, "subscribe", "juliet@localhost/x")
    change = await pushed(romeo)
    assert (change.get("subscription"), change.get("ask")) == ("none", "subscribe")
    asked = await juliet.stanza("presence", type="subscribe")
    assert (asked.get("from"), asked.get("to")) == ("romeo@localhost", "juliet@localhost")
    assert await roster(juliet) == {}, "a request is not in the roster"
    presence(juliet, "subscribed", romeo.bare)
    assert (await pushed(juliet)).get("subscription") == "from"
    await romeo.stanza("presence", type="subscribed")
    assert (await pushed(romeo)).get("subscription") == "to"
    shown = await romeo.next(lambda e: e.name == "presence" and e.get("from") == juliet.jid)
    assert shown.get("type") is None


async def test_a_subscription_request_is_delivered_at_login(world: World) -> None:
    for name in ("romeo", "juliet"):
        await world.account(name)
    romeo = await world.user("romeo")
    presence(romeo, "subscribe", "juliet@localhost")
    await romeo.settled()
    for _ in range(2):
        juliet = await (await world.user("juliet")).available()
        await juliet.stanza("presence", type="subscribe", sender="romeo@localhost")
        juliet.leave()
    juliet = await (await world.user("juliet")).available()
    presence(juliet, "unsubscribed", "romeo@localhost")
    await romeo.available()
    await juliet.settled()
    juliet.leave()
    juliet = await (await world.user("juliet")).available()
    assert not [e for e in juliet.seen if e.get("type") == "subscribe"]
    assert await roster(romeo) == {"juliet@localhost": "none"}


async def test_a_subscription_ends_from_either_side(couple: tuple[Client, Client]) -> None:
    romeo, juliet = couple
    await friends(couple)
    assert await roster(romeo) == {juliet.bare: "both"}
    presence(romeo, "unsubscribe", juliet.bare)
    await juliet.stanza("presence", type="unsubscribe")
    await romeo.stanza("presence", type="unavailable", sender=juliet.jid)
    assert await roster(romeo) == {juliet.bare: "from"}
    assert await roster(juliet) == {romeo.bare: "to"}
    presence(romeo, "unsubscribed", juliet.bare)
    await juliet.stanza("presence", type="unsubscribed")
    await juliet.stanza("presence", type="unavailable", sender=romeo.jid)
    assert await roster(juliet) == {romeo.bare: "none"}


async def test_a_removed_contact_gets_no_presence(couple: tuple[Client, Client]) -> None:
    romeo, juliet = couple
    await friends(couple)
    await juliet.ask("set", item(f"jid='{romeo.bare}' subscription='remove'/>"))
    kinds = {(await romeo.stanza("presence")).get("type") for _ in range(3)}
    assert kinds == {"unsubscribe", "unsubscribed", "unavailable"}
    assert await roster(romeo) == {juliet.bare: "none"}


async def test_contacts_receive_each_others_presence(
    world: World, couple: tuple[Client, Client]
) -> None:
    romeo, juliet = couple
    await friends(couple)
    phone = await world.user("juliet", "phone")
    phone.say(f"<presence xmlns='{ns.CLIENT}'><show>away</show><priority>-1</priority></presence>")
    shown = await romeo.next(lambda e: e.name == "presence" and e.get("from") == phone.jid)
    assert shown.find("show") is not None
    seen = {(await phone.stanza("presence")).get("from") for _ in range(3)}
    assert seen == {romeo.jid, juliet.jid, phone.jid}, "it is told who is there"
    await juliet.next(lambda e: e.name == "presence" and e.get("from") == phone.jid)
    phone.leave()
    await romeo.stanza("presence", type="unavailable", sender=phone.jid)
    await juliet.stanza("presence", type="unavailable", sender=phone.jid)
    presence(romeo, "unavailable", "")
    juliet.say(f"<presence xmlns='{ns.CLIENT}' type='unavailable'/>")
    await romeo.stanza("presence", type="unavailable", sender=juliet.jid)


async def test_a_session_is_sent_its_own_presence(world: World) -> None:
    await world.account("juliet")
    for user in (
        await world.user("juliet", "balcony"),
        await world.user("juliet", "phone"),
        await world.user(),
    ):
        # RFC 6121 §4.2.2, §4.4.2, §4.5.2: the initial one, each later one, and the end.
        for inside in ("<show>away</show>", "<priority>-1</priority><status>here</status>"):
            user.say(f"<presence xmlns='{ns.CLIENT}' id='p'>{inside}</presence>")
            own = await user.own_presence()
            assert own.get("to") == user.jid
            assert own.get("id") == "p"
            assert "".join(element.xml() for element in own.elements).count(inside[1:5])
        user.say(
            f"<presence xmlns='{ns.CLIENT}' type='unavailable'><status>bye</status></presence>"
        )
        gone = await user.own_presence("unavailable")
        assert gone.get("to") == user.jid
        assert gone.find("status") is not None
        await user.settled()
        assert not [e for e in user.seen if e.get("from") == user.jid], "each of them once"


async def test_sessions_of_an_account_receive_each_others_presence_once(world: World) -> None:
    await world.account("juliet")
    balcony = await (await world.user("juliet", "balcony")).available()
    phone = await (await world.user("juliet", "phone")).available()
    assert (await phone.stanza("presence", sender=balcony.jid)).get("to") == phone.jid
    assert (await balcony.stanza("presence", sender=phone.jid)).get("to") == balcony.jid
    phone.say(f"<presence xmlns='{ns.CLIENT}' type='unavailable'/>")
    await phone.own_presence("unavailable")
    await balcony.stanza("presence", type="unavailable", sender=phone.jid)
    await balcony.settled()
    await phone.settled()
    assert not [e for e in balcony.seen + phone.seen if e.name == "presence"]


async def test_presence_directed_to_the_own_account_is_not_broadcast(world: World) -> None:
    await world.account("juliet")
    balcony = await (await world.user("juliet", "balcony")).available()
    phone = await world.user("juliet", "phone")
    phone.say(f"<presence xmlns='{ns.CLIENT}' to='{balcony.jid}'><show>dnd</show></presence>")
    shown = await balcony.stanza("presence", sender=phone.jid)
    assert shown.get("to") == balcony.jid
    await phone.settled()
    assert not [e for e in phone.seen if e.name == "presence"], "it is not available"
    phone.say(f"<presence xmlns='{ns.CLIENT}' to='juliet@localhost'><show>xa</show></presence>")
    await balcony.stanza("presence", sender=phone.jid)
    phone.leave()
    await balcony.stanza("presence", sender=phone.jid, type="unavailable")


async def test_an_error_of_presence_goes_to_the_session_that_sent_it(world: World) -> None:
    one, other = await world.user(), await world.user()
    await other.available()
    one.say(f"<presence xmlns='{ns.CLIENT}' to='{other.jid}'/>")
    await other.next(lambda e: e.name == "presence" and e.get("from") == one.jid)
    for to in (f"{one.bare}/gone", one.bare, "nobody@localhost", one.jid):
        other.say(
            f"<presence xmlns='{ns.CLIENT}' to='{to}' type='error' id='{to}'>"
            "<error type='cancel'/></presence>"
        )
    error = await one.stanza("presence", type="error")
    assert error.get("id") == one.jid


async def test_directed_presence(world: World) -> None:
    one, other = await world.user(), await world.user()
    await other.available()
    one.say(f"<presence xmlns='{ns.CLIENT}' to='{other.jid}'/>")
    await other.next(lambda e: e.name == "presence" and e.get("from") == one.jid)
    one.leave()
    await other.stanza("presence", type="unavailable", sender=one.jid)


async def test_a_subscription_to_an_unknown_account(world: World) -> None:
    await world.account("romeo")
    romeo = await (await world.user("romeo")).available()
    presence(romeo, "subscribe", "nobody@localhost")
    await romeo.stanza("presence", type="unsubscribed", sender="nobody@localhost")
    for to in ("juliet@example.com", "localhost", "romeo@localhost"):
        presence(romeo, "subscribe", to)
        answer = await romeo.stanza("presence", type="error")
        assert condition(answer) in ("remote-server-not-found", "bad-request")


async def test_a_grant_without_a_request_has_no_effect(couple: tuple[Client, Client]) -> None:
    romeo, juliet = couple
    presence(juliet, "subscribed", romeo.bare)
    await juliet.settled()
    await romeo.settled()
    assert not [e for e in romeo.seen if e.name == "presence"]
    assert await roster(romeo) == {}
