"""Malicious accounts: data that they cannot reach, fill or learn."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from pushhub.xmpp.model import namespaces as ns
from pushhub.xmpp.storage.accounts import ScramKeys
from tests.xmpp.routing.test_delivery import block
from tests.xmpp.routing.test_roster import GET, couple, friends, presence, roster
from tests.xmpp.routing.test_vanished import got, pair
from tests.xmpp.sasl.test_login import answer, auth, connected, failed, response, strict, token
from tests.xmpp.world import PASSWORD, condition

__all__ = ["couple", "pair", "strict"]

if TYPE_CHECKING:
    from tests.xmpp.world import Client, World


async def test_an_account_may_have_a_name_like_an_anonymous_one(pair: World) -> None:
    """`.williams` could be the id of a node; messages to the disconnected Tom are stored."""
    await pair.account("tom.williams")
    romeo = await pair.user("romeo", "orchard", 0)
    romeo.chat("tom.williams@localhost", "hello")
    await romeo.settled()
    tom = await (await pair.user("tom.williams", "", 1)).available()
    assert await got(tom) == ["hello"]


async def test_a_pubsub_node_named_like_a_node_of_the_cluster(pair: World) -> None:
    """The node's settings are not stored among the messages between nodes."""
    romeo = await (await pair.user("romeo", "orchard", 0)).available()
    juliet = await (await pair.user("juliet", "balcony", 1)).available()
    node = pair.servers[1].membership.id
    romeo.say(f"<presence xmlns='{ns.CLIENT}' to='{juliet.jid}'/>")
    await juliet.next(lambda e: e.name == "presence" and e.get("from") == romeo.jid)
    inside = f"<create node='{node}'/>"
    await romeo.ask("set", f"<pubsub xmlns='{ns.PUBSUB}'>{inside}</pubsub>", "pubsub.localhost")
    inside = f"<subscribe node='{node}' jid='{romeo.jid}'/>"
    await romeo.ask("set", f"<pubsub xmlns='{ns.PUBSUB}'>{inside}</pubsub>", "pubsub.localhost")
    romeo.say(f"<presence xmlns='{ns.CLIENT}' to='{juliet.jid}'/>")
    await juliet.next(lambda e: e.name == "presence" and e.get("from") == romeo.jid)


async def test_a_blocked_contact_learns_nothing_about_presence(
    world: World, couple: tuple[Client, Client]
) -> None:
    romeo, juliet = couple
    await friends(couple)
    await juliet.ask("set", block("block", romeo.bare))
    await romeo.stanza("presence", type="unavailable", sender=juliet.jid)
    phone = await (await world.user("romeo", "phone")).available()
    await juliet.available("<status>still here</status>")
    await phone.available("<status>me too</status>")
    for _ in range(3):
        await juliet.settled()
        await world.server.settle()
        await phone.settled()
    for seen, sender in ((phone.seen, juliet), (romeo.seen, juliet), (juliet.seen, romeo)):
        assert not [e for e in seen if (e.get("from") or "").startswith(sender.bare)]


async def test_a_request_does_not_fill_another_accounts_roster(
    world: World, couple: tuple[Client, Client]
) -> None:
    romeo, juliet = couple
    status = f"<status>{'x' * 200_000}</status>"
    romeo.say(
        f"<presence xmlns='{ns.CLIENT}' type='subscribe' to='{juliet.bare}'>{status}</presence>"
    )
    await juliet.stanza("presence", type="subscribe")
    name = "n" * 1000
    for number in range(80):
        item = f"<item jid='c{number}@localhost' name='{name}'/>"
        await juliet.ask("set", f"<query xmlns='{ns.ROSTER}'>{item}</query>")
    assert len(await roster(juliet)) == 80
    presence(juliet, "subscribed", romeo.bare)
    await romeo.stanza("presence", type="subscribed")


async def test_anonymous_sessions_store_nothing(small: World) -> None:
    """The requests of an anonymous session store nothing, and reach no data of an account."""
    await small.account("juliet")
    stranger = await small.user()
    item = f"<query xmlns='{ns.ROSTER}'><item jid='juliet@localhost'/></query>"
    assert await stranger.refused("set", item) == "not-allowed"
    assert await stranger.refused("set", f"<vCard xmlns='{ns.VCARD}'/>") == "not-allowed"
    assert await stranger.refused("set", block("block", "juliet@localhost")) == "not-allowed"
    private = f"<query xmlns='{ns.PRIVATE}'><a xmlns='u:a'/></query>"
    assert await stranger.refused("set", private) == "not-allowed"
    for payload in (GET, f"<query xmlns='{ns.MAM}'/>", block("blocklist"), private):
        refused = await stranger.iq("get", payload, "juliet@localhost")
        assert condition(refused) in ("service-unavailable", "forbidden", "item-not-found")
    presence(stranger, "subscribe", "juliet@localhost")
    assert condition(await stranger.stanza("presence", type="error")) == "not-allowed"


# -- logging in ----------------------------------------------------------------


async def test_response_times_do_not_reveal_accounts(
    strict: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[int] = []
    verifies = ScramKeys.verifies

    def counted(self: ScramKeys, password: str, hash_name: str) -> bool:
        hashed.append(self.iterations)
        return verifies(self, password, hash_name)

    monkeypatch.setattr(ScramKeys, "verifies", counted)
    for user in ("juliet", "nobody"):
        client = await connected(strict)
        assert await failed(client, auth("PLAIN", f"\0{user}\0x".encode())) == "not-authorized"
    assert len(hashed) == 2
    assert len(set(hashed)) == 1


@pytest.mark.parametrize("sub", ["a b", "", "@", "a@b@c", "x" * 3000])
@pytest.mark.parametrize("authzid", ["", "a=juliet@localhost", "a=a b"])
async def test_a_token_without_a_subject(strict: World, sub: str, authzid: str) -> None:
    client = await connected(strict)
    first = f"n,{authzid},\x01auth=Bearer {token(sub)}\x01\x01".encode()
    assert (await answer(client, auth("OAUTHBEARER", first))).name == "challenge"
    said = response(b"\x01")
    assert await failed(client, said) in ("not-authorized", "invalid-authzid")


@pytest.mark.parametrize("text", ["ä" * 60_000, "\u0301" * 60_000], ids=["letters", "marks"])
async def test_a_name_that_is_slow_to_prepare(strict: World, text: str) -> None:
    """A long name is refused before its preparation, which would block the event loop."""
    begun = time.process_time()
    client = await connected(strict)
    assert await failed(client, auth("PLAIN", f"\0{text}\0x".encode())) == "malformed-request"
    assert await failed(client, auth("PLAIN", f"\0juliet\0{text}".encode())) == "malformed-request"
    said = auth("SCRAM-SHA-256", f"n,,n={text},r=abc".encode())
    assert await failed(client, said) == "malformed-request"
    client = await connected(strict)
    said = auth("PLAIN", f"\0juliet\0{PASSWORD}".encode())
    assert (await answer(client, said)).name == "success"
    client.stream.restart()
    await client.next()
    bind = f"<bind xmlns='{ns.BIND}'><resource>{text}</resource></bind>"
    assert await client.refused("set", bind) == "bad-request"
    assert time.process_time() - begun < 0.3
