"""Elements that a stream refuses, at no cost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from pushhub.xmpp.model import namespaces as ns
from pushhub.xmpp.transport.stanza_queue import MAX_QUEUED
from tests.xmpp.world import condition

if TYPE_CHECKING:
    from tests.xmpp.world import World

PING = f"<iq xmlns='{ns.CLIENT}' type='get' id='p'><ping xmlns='{ns.PING}'/></iq>"


def test_only_served_domains_are_accepted(small: World) -> None:
    server = small.server
    client = small.client()
    assert server.stream("LOCALHOST.", client) is not None
    for domain in ("", "example.com", "pubsub.localhost"):
        assert server.stream(domain, client) is None


@pytest.mark.parametrize(
    "stanza",
    [
        PING,
        f"<message xmlns='{ns.CLIENT}' to='juliet@localhost'><body>x</body></message>",
        f"<presence xmlns='{ns.CLIENT}'/>",
    ],
)
async def test_stanzas_before_the_login(small: World, stanza: str) -> None:
    client = small.client()
    client.stream.open()
    client.say(stanza)
    assert await client.ended() == "not-authorized"


async def test_stanzas_before_the_resource(small: World) -> None:
    client = await small.client().login()
    client.say(PING)
    assert await client.ended() == "not-authorized"


@pytest.mark.parametrize(
    "element",
    ["<iq xmlns='other'/>", f"<other xmlns='{ns.CLIENT}'/>", "<message xmlns='jabber:server'/>"],
)
async def test_elements_that_are_no_stanzas(small: World, element: str) -> None:
    client = await small.user()
    client.say(element)
    assert await client.ended() == "unsupported-stanza-type"


@pytest.mark.parametrize("sender", ["juliet@localhost", "{bare}/other", "localhost", "@", "a b"])
async def test_a_spoofed_sender(small: World, sender: str) -> None:
    client = await small.user()
    sender = sender.format(bare=client.bare)
    client.say(PING.replace("type='get'", f"type='get' from='{sender}'"))
    assert await client.ended() == "invalid-from"


@pytest.mark.parametrize("which", ["bare", "jid"])
async def test_the_own_address_as_sender_is_accepted(small: World, which: str) -> None:
    client = await small.user()
    client.say(PING.replace("type='get'", f"type='get' from='{getattr(client, which)}'"))
    assert (await client.stanza("iq", id="p")).get("type") == "result"


async def test_a_resource_is_generated_or_requested(small: World) -> None:
    await small.account("juliet")
    first, second = await small.user("juliet"), await small.user("juliet")
    assert first.jid != second.jid
    third = await small.user("juliet", "balcony")
    assert third.jid == "juliet@localhost/balcony"


async def test_the_newer_client_gets_the_resource(world: World) -> None:
    await world.account("juliet")
    first = await world.user("juliet", "balcony")
    second = await world.user("juliet", "balcony")
    assert await first.ended() == "conflict"
    await second.available()
    second.chat("juliet@localhost/balcony", "to myself")
    await second.message("to myself")


async def test_invalid_resources(small: World) -> None:
    client = await small.client().login()
    bad = f"<bind xmlns='{ns.BIND}'><resource>a&#9;b</resource></bind>"
    assert await client.refused("set", bad) == "bad-request"
    await client.bind("good")


async def test_the_number_of_sessions_is_limited(small: World) -> None:
    await small.account("juliet")
    clients = [await small.user("juliet") for _ in range(20)]
    more = await small.client().login("juliet")
    assert await more.refused("set", f"<bind xmlns='{ns.BIND}'/>") == "resource-constraint"
    clients[0].leave()
    await more.bind()


async def test_too_many_queued_stanzas_end_the_stream(small: World) -> None:
    client = await small.user()
    for _ in range(MAX_QUEUED + 2):
        client.say(f"<iq xmlns='{ns.CLIENT}' type='get' id='r'><query xmlns='{ns.ROSTER}'/></iq>")
    assert await client.ended() == "policy-violation"


@pytest.mark.parametrize(
    ("iq", "expected"),
    [
        ("<iq xmlns='jabber:client' type='get' id='x'/>", "bad-request"),
        ("<iq xmlns='jabber:client' type='odd' id='x'><a xmlns='b'/></iq>", "bad-request"),
        ("<iq xmlns='jabber:client' type='get' id='x'><a xmlns='b'/></iq>", "service-unavailable"),
        (
            "<iq xmlns='jabber:client' type='get' id='x' to='a b@c'><a xmlns='b'/></iq>",
            "jid-malformed",
        ),
        (
            "<iq xmlns='jabber:client' type='get' id='x' to='example.com'><a xmlns='b'/></iq>",
            "remote-server-not-found",
        ),
        (
            "<iq xmlns='jabber:client' type='get' id='x' to='a@example.com/b'><a xmlns='b'/></iq>",
            "remote-server-not-found",
        ),
        (
            "<iq xmlns='jabber:client' type='get' id='x' to='a@localhost/b'><a xmlns='b'/></iq>",
            "service-unavailable",
        ),
        (
            "<iq xmlns='jabber:client' type='get' id='x' to='a@localhost'><a xmlns='b'/></iq>",
            "service-unavailable",
        ),
        ("<presence xmlns='jabber:client' type='odd'/>", "bad-request"),
        ("<presence xmlns='jabber:client'><priority>200</priority></presence>", "bad-request"),
        ("<presence xmlns='jabber:client'><priority>x</priority></presence>", "bad-request"),
    ],
)
async def test_iqs_that_get_an_error(small: World, iq: str, expected: str) -> None:
    client = await small.user()
    client.say(iq)
    answer = await client.next()
    assert condition(answer) == expected
    assert answer.get("id") == ("x" if answer.name == "iq" else None)


@pytest.mark.parametrize("kind", ["result", "error"])
async def test_iq_responses_get_no_response(small: World, kind: str) -> None:
    client = await small.user()
    for to in ("", "to='localhost'", "to='nobody@localhost/x'", "to='a@example.com/x'"):
        client.say(f"<iq xmlns='jabber:client' type='{kind}' id='x' {to}/>")
    await client.settled()
    assert not client.seen


async def test_an_ended_session_leaves_nothing(world: World) -> None:
    await world.account("juliet")
    server = world.server
    for name in ("", "juliet"):
        client = await (await world.user(name)).available()
        asked = f"<pubsub xmlns='{ns.PUBSUB}'><subscribe node='n' jid='{client.jid}'/></pubsub>"
        await client.ask("set", asked, "pubsub.localhost")
        client.leave()
    await server.settle()
    assert not server.users.by_jid
    assert not server.subscribers._subscriptions
    followed = [channel.name for channel in server.hub.channels if channel.holds]
    assert [name.partition(":")[2] for name in followed] == (
        [f"letters:{server.membership.id}"] if world.shared else []
    )


async def test_a_shutdown_ends_streams_with_an_error(small: World) -> None:
    client = await small.user()
    await small.server.close()
    assert await client.ended() == "system-shutdown"
    async with asyncio.timeout(1):
        await small.server.settle()
