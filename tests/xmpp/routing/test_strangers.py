"""Strangers and guests: their share of an archive, and the rates of all senders."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from pushhub.log.cursor import Start
from pushhub.log.event import Draft
from pushhub.log.read import Page
from pushhub.store.base import Append, append
from pushhub.xmpp.model import namespaces as ns
from pushhub.xmpp.storage.archive import archive_channel
from pushhub.xmpp.storage.roster import MAX_REQUESTS
from pushhub.xmpp.storage.stranger_share import StrangerShares, strangers_key
from tests.store.labs import Clock, make_lab
from tests.xmpp.routing.test_delivery import bodies, caught_up
from tests.xmpp.routing.test_roster import presence, roster
from tests.xmpp.world import World, body, condition

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.xmpp.world import Client

# An archive that a test fills quickly. Strangers have 25 messages of it, and 10 at once.
EVENTS = 100
FLOOD = 3 * EVENTS


@asynccontextmanager
async def open_world(tmp_path: Path, **settings: Any) -> AsyncIterator[World]:
    clock = Clock()
    rates = {"xmpp_pair_rate": 1_000_000, "xmpp_stanza_rate": 1_000_000}
    world = World(make_lab("memory", tmp_path, clock).make, shared=False, **rates | settings)
    world.clock = clock
    await world.node()
    for name in ("juliet", "romeo", "mallory", "trudy"):
        await world.account(name)
    yield world
    await world.close()


@pytest.fixture
async def verona(tmp_path: Path) -> AsyncIterator[World]:
    """Small archives; Juliet has written to Romeo, and has left."""
    async with open_world(tmp_path, xmpp_archive_events=EVENTS, xmpp_offline=8) as world:
        juliet = await (await world.user("juliet", "balcony")).available()
        juliet.chat("romeo@localhost", "who art thou?")
        await caught_up(juliet)
        await world.server.settle()
        juliet.leave()
        await world.server.settle()
        yield world


async def archived(world: World, bare: str = "juliet@localhost") -> list[str]:
    read = await world.server.hub.store.read(archive_channel(bare), Start.EARLIEST, 1000)
    assert isinstance(read, Page)
    return [event.data.decode() for event in read.events]


async def flood(sender: Client, count: int, to: str = "juliet@localhost") -> list[str]:
    """The conditions of the errors for that many messages."""
    for number in range(count):
        sender.chat(to, f"spam {number}")
        if number % 100 == 99:
            await sender.settled()  # More at once would be too much in advance.
    await sender.settled()
    await sender.server.settle()
    return [condition(e) for e in sender.seen if e.name == "message" and e.get("type") == "error"]


@pytest.mark.parametrize("name", ["mallory", ""], ids=["account", "guest"])
async def test_a_stranger_cannot_empty_an_archive(verona: World, name: str) -> None:
    romeo = await verona.user("romeo")
    romeo.chat("juliet@localhost", "what light")
    await romeo.settled()
    refused = await flood(await verona.user(name), FLOOD)
    stored = await archived(verona)
    spam = [data for data in stored if "spam" in data]
    assert any("what light" in data for data in stored)
    assert 0 < len(spam) <= EVENTS // 4
    assert refused == ["resource-constraint"] * (FLOOD - len(spam))


async def test_many_strangers_have_one_share(verona: World) -> None:
    """A share for each would be a whole archive for many."""
    for name in ("mallory", "trudy", "", "", ""):
        await flood(await verona.user(name), FLOOD)
    spam = [data for data in await archived(verona) if "spam" in data]
    assert len(spam) <= EVENTS // 4


async def test_a_stranger_leaves_room_for_others(verona: World) -> None:
    await flood(await verona.user("mallory"), FLOOD)
    trudy = await verona.user("trudy")
    assert await flood(trudy, 1) == []


async def test_a_large_message_uses_more_of_the_share(verona: World) -> None:
    mallory = await verona.user("mallory")
    mallory.chat("juliet@localhost", "x" * 200_000)
    await mallory.settled()
    assert condition(await mallory.stanza("message", type="error")) == "resource-constraint"


async def test_strangers_leave_offline_messages_of_others(verona: World) -> None:
    """Only the last eight offline messages came, and strangers sent the last nine."""
    romeo = await verona.user("romeo")
    for number in range(4):
        romeo.chat("juliet@localhost", f"love {number}")
    await romeo.settled()
    await flood(await verona.user("mallory"), 3)
    await flood(await verona.user("trudy"), 3)
    await flood(await verona.user(), 3)
    juliet = await (await verona.user("juliet", "balcony")).available()
    await caught_up(juliet)
    received = bodies(juliet)
    assert [text for text in received if "love" in str(text)] == [f"love {n}" for n in range(4)]
    assert 0 < len([text for text in received if "spam" in str(text)]) <= 4


async def test_a_connected_client_gets_what_the_archive_does_not_keep(verona: World) -> None:
    juliet = await (await verona.user("juliet", "balcony")).available()
    assert await flood(await verona.user("mallory"), 30) == []
    await juliet.message("spam 29")
    assert len([data for data in await archived(verona) if "spam" in data]) <= EVENTS // 4


async def test_a_reply_makes_a_peer_known(verona: World) -> None:
    juliet = await (await verona.user("juliet", "balcony")).available()
    mallory = await verona.user("mallory")
    juliet.chat(mallory.bare, "hello")
    await juliet.settled()
    await verona.server.settle()
    juliet.leave()
    await verona.server.settle()
    assert await flood(mallory, 30) == []


async def test_a_receipt_makes_no_peer_known(verona: World) -> None:
    """Clients send receipts automatically."""
    juliet, mallory = await verona.user("juliet"), await verona.user("mallory")
    receipt = f"<received xmlns='{ns.RECEIPTS}' id='1'/>"
    juliet.say(f"<message xmlns='{ns.CLIENT}' to='{mallory.bare}'>{receipt}</message>")
    await juliet.settled()
    await verona.server.settle()
    juliet.leave()
    assert "resource-constraint" in await flood(mallory, 30)


async def test_a_contact_is_known_and_a_request_makes_none(verona: World) -> None:
    juliet = await (await verona.user("juliet", "balcony")).available()
    mallory, trudy = await verona.user("mallory"), await verona.user("trudy")
    presence(mallory, "subscribe", juliet.bare)
    await juliet.stanza("presence", type="subscribe")
    item = f"<query xmlns='{ns.ROSTER}'><item jid='{trudy.bare}'/></query>"
    await juliet.ask("set", item)
    juliet.leave()
    await verona.server.settle()
    assert "resource-constraint" in await flood(mallory, 30)
    assert await flood(trudy, 30) == []


async def test_the_share_refills_with_time_and_with_other_messages(verona: World) -> None:
    hub, clock = verona.server.hub, Clock()
    shares = StrangerShares(verona.server.kv, clock, EVENTS, 1000, 0.25)
    bare = "romeo@localhost"

    async def take() -> int:
        """How many messages a flood gets in."""
        count = 0
        for number in range(FLOOD):
            count += await shares.take(bare, f"m{number % 20}@localhost", 1, guest=False)
        return count

    first = await take()
    assert 0 < first <= EVENTS // 4
    assert await take() == 0
    clock.advance(1000)
    assert first + await take() <= EVENTS // 4
    assert await take() == 0
    for _ in range(EVENTS):
        await append(hub.store, Append(archive_channel(bare), Draft(b"<a/>")))
    second = await take()
    assert 0 < second <= EVENTS // 4


async def test_the_share_survives_a_deleted_archive(verona: World) -> None:
    """Its offsets begin again, and with them the quota."""
    shares = StrangerShares(verona.server.kv, Clock(), EVENTS, 0, 0.25)
    kv, bare = verona.server.kv, "romeo@localhost"
    await kv.update_json(strangers_key(bare), lambda _: {"all": 500.0, "by": {"a@b": 500.0}})
    assert not await shares.take(bare, "a@b", 1, guest=False)
    assert await shares.take(bare, "a@b", 1, guest=False)


async def test_requests_do_not_fill_a_roster(verona: World) -> None:
    juliet = await (await verona.user("juliet", "balcony")).available()
    rosters = verona.server.rosters
    subscriptions = verona.server.presence.subscriptions
    for number in range(MAX_REQUESTS + 20):
        sender = f"m{number}@localhost"
        request = juliet.stream.session
        assert request is not None
        stanza = request.presence
        assert stanza is not None
        asked = stanza.having({"type": "subscribe", "from": sender, "to": juliet.bare})
        await subscriptions.receive(sender, "subscribe", asked, juliet.bare)
    entries = (await rosters.get(juliet.bare)).entries
    assert len([e for e in entries.values() if e.wanted]) == MAX_REQUESTS
    assert await roster(juliet) == {}


async def test_a_pair_is_limited(tmp_path: Path) -> None:
    async with open_world(tmp_path, xmpp_pair_rate=1) as world:
        juliet = await (await world.user("juliet", "balcony")).available()
        romeo = await world.user("romeo")
        for number in range(15):
            romeo.chat(juliet.bare, f"{number}")
        await romeo.settled()
        errors = [e for e in romeo.seen if e.name == "message"]
        assert {condition(e) for e in errors} == {"policy-violation"}
        error = errors[0].find("error")
        assert error is not None
        assert error.get("type") == "wait"
        assert 4 <= len(errors) <= 5
        # Others may write.
        trudy = await world.user("trudy")
        trudy.chat(juliet.bare, "hello")
        await juliet.message("hello")
        assert len([e for e in juliet.seen if body(e)]) >= 10


@pytest.mark.parametrize(
    ("address", "refused"),
    [("203.0.113.7", True), ("2001:db8::7", True), ("127.0.0.1", False), ("10.0.0.7", False)],
)
async def test_guests_of_one_address_are_one_sender_if_it_counts(
    tmp_path: Path, address: str, refused: bool
) -> None:
    """Behind a proxy that names no clients all guests have its address."""
    async with open_world(tmp_path, xmpp_pair_rate=1) as world:
        juliet = await (await world.user("juliet", "balcony")).available()
        errors = []
        for number in range(4):
            guest = await world.user()
            guest.client = address
            for text in range(4):
                guest.chat(juliet.bare, f"{number}.{text}")
            await guest.settled()
            errors += [e for e in guest.seen if e.name == "message"]
        assert bool(errors) == refused
        assert {condition(e) for e in errors} <= {"policy-violation"}


async def test_an_account_that_sends_too_fast_waits(tmp_path: Path) -> None:
    """Nothing is lost or refused: the stream reads more slowly."""
    async with open_world(tmp_path, xmpp_stanza_rate=20) as world:
        romeo = await world.user("romeo")
        loop = world.server.hub
        begun = loop.now()
        for number in range(220):
            romeo.chat(romeo.bare, f"{number}", kind="normal")
        await romeo.settled()
        # The burst are 200 and the session has used some.
        assert loop.now() - begun > 0.9
        assert len(await archived(world, romeo.bare)) == 220


async def test_an_account_that_does_not_wait_is_disconnected(tmp_path: Path) -> None:
    async with open_world(tmp_path, xmpp_stanza_rate=1) as world:
        romeo = await world.user("romeo")
        for number in range(300):
            romeo.chat(romeo.bare, f"{number}", kind="normal")
        assert await romeo.ended() == "policy-violation"
