"""Clients that vanish, nodes that die, and the messages in transit to them: the account's next
session receives each once."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import pytest

from pushhub.store.base import StoreUnavailable
from pushhub.xmpp.cluster.serialize import dump_session, load_session
from pushhub.xmpp.storage.stamps import Stamps
from tests.store.labs import Clock, make_lab
from tests.waiting import NEWS_SECONDS, until
from tests.xmpp.browser import Browser
from tests.xmpp.world import World, body

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from pushhub.log.event import Event
    from pushhub.xmpp.transport.bosh_transport import BoshTransport
    from tests import redis_servers
    from tests.xmpp.world import Client

AVAILABLE = (
    "<presence xmlns='jabber:client'/>"
    "<iq xmlns='jabber:client' type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>"
)


@pytest.fixture
async def pair(tmp_path: Path, redis_shelf: redis_servers.Shelf) -> AsyncIterator[World]:
    make = make_lab("valkey9", tmp_path, Clock(), redis_shelf.url).make
    # Romeo and Juliet do not know each other, and send large messages.
    world = World(make, shared=True, xmpp_stranger_share=1.0)
    await world.node()
    await world.node()
    for name in ("romeo", "juliet"):
        await world.account(name)
    yield world
    await world.close()


async def gone_dark(world: World, romeo: Client, *texts: str) -> Browser:
    """Juliet's client has no connection: no request waits here, and messages wait for it."""
    browser = await Browser.login(world, "juliet")
    await browser.ask(AVAILABLE)
    sessions = world.sessions[0]
    for text in texts:
        romeo.chat("juliet@localhost", text)
    await romeo.settled()
    (carrier,) = sessions.transports.values()

    def waiting() -> list[str | None]:
        return [body(e) for e in carrier.session.pending()[0] if e.name == "message"]

    await until(lambda: waiting() == list(texts))
    return browser


async def got(client: Client) -> list[str | None]:
    await client.settled()
    return [body(m) for m in client.seen if m.name == "message" and m.find("body") is not None]


@pytest.fixture
async def romeo(world: World) -> Client:
    await world.account("juliet")
    await world.account("romeo")
    return await (await world.user("romeo", "orchard")).available()


async def test_the_same_client_returns(world: World, romeo: Client) -> None:
    """The client binds its resource again, which ends its own old session."""
    old = await gone_dark(world, romeo, "one", "two")
    juliet = await world.user("juliet", "balcony")
    romeo.chat("juliet@localhost", "three")
    await romeo.settled()
    await juliet.available()
    assert await got(juliet) == ["one", "two", "three"]
    farewell = await old.post("")
    assert farewell.get("condition") == "remote-stream-error"
    assert [e.name for e in farewell.elements] == ["error"], "they are the new session's"


async def test_a_store_that_fails_before_the_stamp_is_known_loses_no_message(
    world: World, romeo: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stamp of a late message may need another read of the archive."""
    await gone_dark(world, romeo, "one", "two")
    juliet = await world.user("juliet", "balcony")
    failed: list[Event] = []
    of = Stamps.of

    async def fails_once(self: Stamps, event: Event) -> int:
        if not failed:
            failed.append(event)
            raise StoreUnavailable("The store has just gone.")
        return await of(self, event)

    monkeypatch.setattr(Stamps, "of", fails_once)
    juliet.say("<presence xmlns='jabber:client'/>")
    await world.server.settle()
    assert failed
    juliet.leave()
    await world.server.settle()
    again = await (await world.user("juliet", "desk")).available()
    assert await got(again) == ["one", "two"]


async def test_another_client_connected_meanwhile(world: World, romeo: Client) -> None:
    """The old session ends after a minute; newer sessions receive its undelivered messages."""
    await gone_dark(world, romeo, "one", "two")
    juliet = await (await world.user("juliet", "phone")).available()
    romeo.chat("juliet@localhost", "three")
    await juliet.message("three")
    (carrier,) = world.sessions[0].transports.values()
    carrier.session._seen -= 151
    carrier.expire()
    assert body(await juliet.next(lambda e: e.name == "message")) == "one"
    assert body(await juliet.next(lambda e: e.name == "message")) == "two"
    assert await got(juliet) == [], "the third it had"


async def test_a_session_that_received_everything_gets_no_duplicates(
    world: World, romeo: Client
) -> None:
    juliet = await (await world.user("juliet", "phone")).available()
    await gone_dark(world, romeo, "one", "two")
    (carrier,) = world.sessions[0].transports.values()
    carrier.session._seen -= 151
    carrier.expire()
    await world.server.settle()
    assert await got(juliet) == ["one", "two"]


async def test_two_clients_vanish_with_the_same_messages(world: World, romeo: Client) -> None:
    """The connected client receives the messages late and once."""
    other = await Browser.login(world, "juliet")
    await other.post(AVAILABLE)
    (first,) = world.sessions[0].transports.values()
    browser = await Browser.login(world, "juliet", resource="desk")
    await browser.post(AVAILABLE)
    (second,) = (c for c in world.sessions[0].transports.values() if c is not first)
    romeo.chat("juliet@localhost", "one")
    romeo.chat("juliet@localhost", "two")
    await romeo.settled()
    for carrier in (first, second):
        await until(partial(has_two, carrier))
    juliet = await (await world.user("juliet", "phone")).available()
    for carrier in (first, second):
        carrier.session._seen -= 151
        carrier.expire()
        await world.server.settle()
    assert await got(juliet) == ["one", "two"]


async def test_a_client_vanishes_on_another_node(pair: World) -> None:
    """Unconfirmed messages are not delivered to sessions that received them."""
    romeo = await pair.user("romeo", "orchard", 1)
    juliet = await (await pair.user("juliet", "phone", 1)).available()
    await gone_dark(pair, romeo, "one", "two")
    for text in ("one", "two"):
        await juliet.message(text)
    (carrier,) = pair.sessions[0].transports.values()
    carrier.session._seen -= 151
    carrier.expire()
    await pair.servers[0].settle()
    home = pair.servers[1].users.by_jid["juliet@localhost"]
    # Twice: the node reads the marker with its first write, and delivers afterwards.
    for _ in range(2):
        home.state.changed = True
        await home.take_over()
        await home.save()
    assert home.state._saved_redeliver == set(), "nothing is left to be brought"
    assert await got(juliet) == []


async def test_a_session_moves_to_a_node_without_its_account(pair: World) -> None:
    """Messages during a migration go to the account's session on a third node, and to the
    migrated session, too."""
    romeo = await pair.user("romeo", "orchard", 1)
    browser = await Browser.login(pair, "juliet")
    await browser.post(AVAILABLE)
    juliet = await (await pair.user("juliet", "phone", 1)).available()
    await pair.leave(0)
    romeo.chat("juliet@localhost", "one")
    romeo.chat("juliet@localhost", "two")
    for text in ("one", "two"):
        await juliet.message(text)
    await pair.servers[1].users.by_jid["juliet@localhost"].save()
    await pair.node()
    found: list[str | None] = []
    while len(found) < 2:
        answer = await browser.post("", 2)
        assert answer.elements, "they wait for it"
        assert answer.get("type") is None
        found += [body(e) for e in answer.elements if e.name == "message"]
    assert found == ["one", "two"]


async def test_two_sessions_begin_after_a_node_died(pair: World) -> None:
    """Both take over the dead node's messages; one of them receives these."""
    romeo = await pair.user("romeo", "orchard", 1)
    await gone_dark(pair, romeo, "one", "two")
    first = pair.servers[0]
    await first.users.by_jid["juliet@localhost"].save()
    await first.kv.set(f"$xmpp:sign:{first.membership.id}", b"left")
    both = await asyncio.gather(pair.user("juliet", "phone", 1), pair.user("juliet", "desk", 1))
    for juliet in both:
        await juliet.available()
    assert sorted([*await got(both[0]), *await got(both[1])], key=str) == ["one", "two"]


async def test_a_session_is_found_while_its_node_leaves(pair: World) -> None:
    """The stored node migrates the session and leaves before the value is read."""
    browser = await Browser.login(pair, "juliet")
    await pair.leave(0)
    await browser.post(AVAILABLE, 1)
    third = (await pair.node()).membership
    second, looks = pair.servers[1].membership.id, third.is_alive

    async def late(node: str, *more: float) -> bool:
        if node == second:
            await pair.leave(1)
        return await looks(node, *more)

    third.is_alive = late  # type: ignore[method-assign, assignment]
    ping = "<iq xmlns='jabber:client' type='get' id='x'><ping xmlns='urn:xmpp:ping'/></iq>"
    answer = await browser.post(ping, 2)
    assert answer.get("type") is None, answer


async def test_a_migrated_anonymous_session_leaves_no_value(pair: World) -> None:
    """After a migration a stored value names the node of an anonymous address."""
    browser = await Browser.login(pair, "")
    await pair.leave(0)
    await browser.post(AVAILABLE, 1)
    bare = browser.jid.partition("/")[0]
    registers = pair.servers[1].kv
    assert await registers.stored_json(f"$xmpp:where:{bare}")
    await browser._send(f"sid='{browser.sid}' type='terminate'", "", 1)
    await pair.servers[1].settle()
    assert await registers.stored_json(f"$xmpp:where:{bare}") is None


def has_two(carrier: BoshTransport) -> bool:
    """Whether two messages wait for a client."""
    return len([e for e in carrier.session.pending()[0] if e.name == "message"]) == 2


async def test_a_crash_loses_no_undelivered_message(world: World, romeo: Client) -> None:
    """The marker has the messages in transit: the process may die without writing again."""
    await gone_dark(world, romeo, "one", "two")
    (home,) = (home for home in world.server.users.by_jid.values() if home.jid.local == "juliet")
    await home.save()
    # The process has died: it does nothing at its end.
    world.server.users.by_jid.clear()
    if world.shared:
        await world.server.kv.set(f"$xmpp:sign:{world.server.membership.id}", b"left")
        other = await world.node()
    else:
        other = world.server
        other.membership.id = "anew"
    juliet = await (await world.user("juliet", "phone", world.servers.index(other))).available()
    assert await got(juliet) == ["one", "two"]
    await other.users.by_jid["juliet@localhost"].save()
    juliet.leave()
    await other.settle()
    again = await (await world.user("juliet", "desk", world.servers.index(other))).available()
    assert await got(again) == []


async def test_a_node_dies_after_the_next_session_has_begun(pair: World) -> None:
    """When the node counts as dead, the connected sessions receive its messages."""
    romeo = await pair.user("romeo", "orchard", 1)
    await gone_dark(pair, romeo, "one", "two")
    first = pair.servers[0]
    await first.users.by_jid["juliet@localhost"].save()
    juliet = await (await pair.user("juliet", "phone", 1)).available()
    assert await got(juliet) == []
    for home in first.users.by_jid.values():
        home.close()
    await first.kv.set(f"$xmpp:sign:{first.membership.id}", b"left")
    home = pair.servers[1].users.by_jid["juliet@localhost"]
    assert home.state.needs_attention, "it knows that there is something to learn"

    async def looked() -> None:
        while home.state._elsewhere:
            await home.take_over()
            # The answer comes from this node's memory: its event must arrive first.
            await asyncio.sleep(0.01)

    await asyncio.wait_for(looked(), NEWS_SECONDS)
    assert await got(juliet) == ["one", "two"]


@pytest.mark.parametrize("node", [0, 1])
async def test_a_session_ends_while_the_next_begins(pair: World, node: int) -> None:
    """A page is reloaded: messages during the reload are delivered once."""
    romeo = await pair.user("romeo", "orchard", 1)
    texts: list[str] = []
    seen: list[str | None] = []
    for turn in range(10):
        juliet = await pair.user("juliet", "balcony" if turn % 2 else "", node * turn % 2)
        await juliet.available()
        for number in range(3):
            texts.append(f"{turn} {number}")
            romeo.chat("juliet@localhost", texts[-1])
        await juliet.message(texts[-3])
        seen.append(texts[-3])
        seen += await got(juliet)
        juliet.leave()
        juliet.seen.clear()
    await romeo.settled()
    for server in pair.servers:
        await server.settle()
    last = await (await pair.user("juliet", "last", 0)).available()
    seen += await got(last)
    if node:
        # The other node may not know the last delivery: a repeat has the same id.
        assert set(seen) == set(texts)
    else:
        assert sorted(map(str, seen)) == sorted(texts)


AWAY = {
    "unavailable": "<presence xmlns='jabber:client' type='unavailable'/>",
    "negative priority": "<presence xmlns='jabber:client'><priority>-1</priority></presence>",
}


def expires(world: World, node: int = 0) -> None:
    """The session of the vanished client expires."""
    (carrier,) = world.sessions[node].transports.values()
    carrier.session._seen -= 151
    carrier.expire()


async def texts_after(client: Client, come: Callable[[], None]) -> list[str | None]:
    """The messages that a client receives during an event."""
    await got(client)
    client.seen.clear()
    come()
    await client.server.settle()
    return await got(client)


@pytest.mark.parametrize("away", AWAY.values(), ids=AWAY)
async def test_an_unavailable_session_lacks_only_the_messages_of_that_time(
    world: World, romeo: Client, away: str
) -> None:
    juliet = await (await world.user("juliet", "phone")).available()
    await gone_dark(world, romeo, "one", "two")
    for turn in ("first", "second"):
        juliet.say(away)
        await juliet.settled()
        romeo.chat("juliet@localhost", f"{turn}, away")
        await romeo.settled()
        await juliet.available()
        romeo.chat("juliet@localhost", turn)
        await juliet.message(turn)
    late = await texts_after(juliet, lambda: expires(world))
    assert late == ["first, away", "second, away"]


async def test_a_carbon_copy_counts_as_received(world: World, romeo: Client) -> None:
    """An unavailable session gets carbon copies, and lacks only messages without a copy."""
    juliet = await (await world.user("juliet", "phone")).available()
    await gone_dark(world, romeo, "one")
    juliet.say(AWAY["unavailable"])
    await juliet.ask("set", "<enable xmlns='urn:xmpp:carbons:2'/>")
    romeo.chat("juliet@localhost", "copied")
    romeo.chat("juliet@localhost", "not copied", more="<private xmlns='urn:xmpp:carbons:2'/>")
    romeo.chat("juliet@localhost/balcony", "for the other, copied")
    await romeo.settled()
    await juliet.ask("set", "<disable xmlns='urn:xmpp:carbons:2'/>")
    romeo.chat("juliet@localhost/balcony", "for the other")
    await romeo.settled()
    await juliet.available()
    late = await texts_after(juliet, lambda: expires(world))
    assert late == ["not copied", "for the other"]


async def test_messages_delivered_late_to_one_client_are_redelivered_elsewhere(
    world: World, romeo: Client
) -> None:
    """Offline messages are delivered to one session. If it vanishes, they are delivered to another
    session, which had enabled carbons and received no copies."""
    juliet = await world.user("juliet", "phone")
    await juliet.ask("set", "<enable xmlns='urn:xmpp:carbons:2'/>")
    romeo.chat("juliet@localhost", "waited")
    await romeo.settled()
    browser = await Browser.login(world, "juliet")
    await browser.post(AVAILABLE)
    (carrier,) = world.sessions[0].transports.values()
    await until(lambda: "waited" in [body(m) for part in carrier.session.pending() for m in part])
    await juliet.available()
    assert await texts_after(juliet, lambda: expires(world)) == ["waited"]


async def test_the_received_ranges_of_a_session_migrate(pair: World) -> None:
    """A migrated session still lacks the messages of the time in which it was unavailable."""
    romeo = await pair.user("romeo", "orchard", 1)
    browser = await Browser.login(pair, "juliet", resource="desk")
    await browser.ask(AVAILABLE)
    juliet = await (await pair.user("juliet", "phone", 0)).available()
    for away, text in ((False, "one"), (True, "two"), (False, "three")):
        await browser.ask((AWAY["unavailable"] if away else "") + AVAILABLE.partition("/>")[2])
        if not away:
            await browser.ask(AVAILABLE)
        romeo.chat("juliet@localhost", text)
        await juliet.message(text)
    before = pair.server.users.by_jid["juliet@localhost"].sessions["desk"].received
    juliet.leave()
    await pair.leave(0)
    await browser.ask(AVAILABLE, node=1)
    after = pair.servers[1].users.by_jid["juliet@localhost"].sessions["desk"].received
    assert before is not after
    assert [offset in after.messages for offset in (1, 2, 3)] == [True, False, True]


async def test_a_session_migrates_from_a_node_of_an_older_version(
    world: World, romeo: Client
) -> None:
    """The older record has only the offset after which the session last became available."""
    juliet = await (await world.user("juliet", "phone")).available()
    romeo.chat("juliet@localhost", "one")
    await juliet.message("one")
    juliet.say(AWAY["unavailable"])
    await juliet.available()
    old = world.server.users.by_jid["juliet@localhost"].sessions["phone"]
    record = dump_session(old, {})
    assert record["since"] == 1, "a node of the version before reads this"
    del record["heard"]
    new = load_session(juliet.stream, old.user, old.jid, old.identity, record)
    assert [offset in new.received.messages for offset in (1, 2)] == [False, True]
