"""Nodes on one store with a feed that is late, on virtual time: no session receives a message
twice, whatever its node knows of the other nodes."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING

import pytest

from pushhub.testing.simulation.log import SharedLog, View
from pushhub.testing.simulation.loop import SimulatedLoop, bury
from pushhub.xmpp.cluster.membership import DEAD_SECONDS
from pushhub.xmpp.model.namespaces import CARBONS
from pushhub.xmpp.model.stanza import StreamError
from pushhub.xmpp.storage.archive import marker_key
from pushhub.xmpp.storage.locations import locations_key
from tests.xmpp.browser import Browser
from tests.xmpp.routing.test_vanished import AVAILABLE, got
from tests.xmpp.world import World, body, condition

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from pushhub.xml import Element
    from pushhub.xmpp.model.jid import Jid
    from pushhub.xmpp.server import XmppServer
    from tests.xmpp.world import Client

LATENCY_SECONDS, FEED_SECONDS = 0.001, 0.01
# Longer than every delay, and than the interval of the markers' writes.
REST_SECONDS = 12.0
# Longer than a BOSH session without requests.
GONE_SECONDS = 400.0
ENABLE = "<iq xmlns='jabber:client' type='set' id='e'><enable xmlns='urn:xmpp:carbons:2'/></iq>"
COMPOSES = (
    "<message xmlns='jabber:client' type='chat' to='juliet@localhost/phone'>"
    "<composing xmlns='http://jabber.org/protocol/chatstates'/></message>"
)
MIGRATED = "<iq xmlns='jabber:client' type='get' id='m'><ping xmlns='urn:xmpp:ping'/></iq>"


def on_virtual_time(
    test: Callable[[World, list[float]], Coroutine[None, None, None]],
) -> Callable[[], None]:
    """Run a test with two nodes. It may change the delay of each node's feed."""

    @functools.wraps(test)
    def run() -> None:
        loop = SimulatedLoop()
        asyncio.set_event_loop(loop)

        async def live() -> None:
            log = SharedLog(lambda: 1.8e9 + loop.time(), lambda: "aaaaaaaaaaaa")
            feeds: list[float] = []

            def make() -> View:
                node = len(feeds)
                feeds.append(FEED_SECONDS)
                return View(log, lambda: LATENCY_SECONDS, lambda: feeds[node])

            world = World(make, shared=True)
            for _ in range(2):
                await world.node()
            for name in ("romeo", "juliet"):
                await world.account(name)
            await test(world, feeds)
            await world.close()

        try:
            loop.run_until_complete(live())
        finally:
            bury(loop)
            asyncio.set_event_loop(None)
            loop.close()

    # pytest would ask for the parameters as fixtures.
    del run.__wrapped__
    return run


def texts(elements: list[Element]) -> list[str | None]:
    """The texts of messages, not of carbon copies."""
    return [body(e) for e in elements if e.name == "message" and e.find("body") is not None]


def copies(elements: list[Element]) -> list[str | None]:
    """The texts of carbon copies."""
    both = [e.find(name, CARBONS) for e in elements for name in ("sent", "received")]
    return [body(copy.elements[0].elements[0]) for copy in both if copy is not None]


def composing(client: Client) -> list[Element]:
    """The chat states that a client has received."""
    return [e for e in client.seen if e.name == "message" and e.elements[0].name == "composing"]


@on_virtual_time
async def test_two_sessions_begin_together(world: World, feeds: list[float]) -> None:
    """Each opens the account on this node; it is opened once, and closed with the last of them."""
    romeo = await world.user("romeo", "orchard", 1)
    before = await (await world.user("juliet", "before")).available()
    romeo.chat("juliet@localhost", "early")
    await before.message("early")
    before.leave()
    await asyncio.sleep(REST_SECONDS)
    # A dead node's message: the account's node asks whether that node is alive.
    await world.server.kv.update_json(
        marker_key("juliet@localhost"), lambda old: {**(old or {}), "pending": {"dead": [99]}}
    )
    parked = world.server.hub.parked
    both = await asyncio.gather(world.user("juliet", "phone"), world.user("juliet", "desk"))
    for juliet in both:
        await juliet.available()
    romeo.chat("juliet@localhost", "one")
    await romeo.settled()
    await asyncio.sleep(REST_SECONDS)
    for juliet in both:
        assert await got(juliet) == ["one"]
        juliet.leave()
    await asyncio.sleep(REST_SECONDS)
    assert world.server.hub.parked == parked, "nothing reads the archive any more"


@on_virtual_time
async def test_a_session_migrates_to_a_node_with_an_older_marker(
    world: World, feeds: list[float]
) -> None:
    """The new node has read the account's marker before the old one wrote it."""
    romeo = await world.user("romeo", "orchard", 1)
    browser = await Browser.login(world, "juliet")
    await browser.ask(AVAILABLE)
    await world.user("juliet", "phone", 1)
    romeo.chat("juliet@localhost", "one")
    assert texts((await browser.post("")).elements) == ["one"]
    await world.leave(0)
    assert texts(await browser.ask(MIGRATED, node=1)) == []
    await asyncio.sleep(REST_SECONDS)
    assert texts(await browser.ask(MIGRATED, node=1)) == []


@on_virtual_time
async def test_a_session_migrates_to_a_node_without_a_feed(
    world: World, feeds: list[float]
) -> None:
    """When the new node's feed is back, it brings messages that the session received on the old
    node."""
    romeo = await world.user("romeo", "orchard", 0)
    browser = await Browser.login(world, "juliet")
    await browser.ask(AVAILABLE)
    phone = await (await world.user("juliet", "phone", 1)).available()
    view = world.servers[1].hub.store
    assert isinstance(view, View)
    view.lose_feed()
    romeo.chat("juliet@localhost", "one")
    romeo.chat(browser.jid, "two")
    found: list[str | None] = []
    while len(found) < 2:
        found += texts((await browser.post("")).elements)
    assert found == ["one", "two"]
    await world.leave(0)
    assert texts(await browser.ask(MIGRATED, node=1)) == []
    view.restore_feed()
    await asyncio.sleep(REST_SECONDS)
    assert texts(await browser.ask(MIGRATED, node=1)) == []
    assert "one" in await got(phone), "this session had not received the message"


@pytest.mark.parametrize("pause", [0.0, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 1.0])
def test_two_sessions_migrate_together(pause: float) -> None:
    """Neither has a message that came meanwhile. The new node delivers the archive to the first,
    and the second was no less there than the first."""

    @on_virtual_time
    async def test(world: World, feeds: list[float]) -> None:
        feeds[1] = 0.1
        romeo = await world.user("romeo", "orchard", 1)
        first = await Browser.login(world, "juliet")
        await first.ask(AVAILABLE)
        second = await Browser.login(world, "juliet", resource="desk")
        await second.ask(AVAILABLE)
        await world.leave(0)
        for text in ("one", "two"):
            romeo.chat("juliet@localhost", text)
        await romeo.settled()
        asked = asyncio.ensure_future(first.ask(MIGRATED, node=1))
        await asyncio.sleep(pause)
        seen = [await second.ask(MIGRATED, node=1), await asked]
        romeo.chat("juliet@localhost", "three")
        await asyncio.sleep(REST_SECONDS)
        for elements, browser in zip(seen, (second, first), strict=True):
            elements += await browser.ask(MIGRATED, node=1)
            assert texts(elements) == ["one", "two", "three"]

    test()


@pytest.mark.parametrize("is_available", [False, True])
def test_a_session_misses_no_copy_during_its_migration(is_available: bool) -> None:
    """The other session is on the new node; unless it is available, the one that migrates is the
    first there that receives messages."""

    @on_virtual_time
    async def test(world: World, feeds: list[float]) -> None:
        romeo = await world.user("romeo", "orchard", 1)
        browser = await Browser.login(world, "juliet")
        await browser.ask(ENABLE)
        await browser.ask(AVAILABLE)
        phone = await world.user("juliet", "phone", 1)
        if is_available:
            await phone.available()
        phone.chat("romeo@localhost", "early")
        await phone.settled()
        romeo.chat(phone.jid, "early too")
        await asyncio.sleep(REST_SECONDS)
        assert copies(await browser.ask(MIGRATED)) == ["early", "early too"]
        await world.leave(0)
        phone.chat("romeo@localhost", "sent")
        await phone.settled()
        romeo.chat(phone.jid, "received")
        await asyncio.sleep(REST_SECONDS)
        seen = await browser.ask(MIGRATED, node=1)
        phone.chat("romeo@localhost", "late")
        await asyncio.sleep(REST_SECONDS)
        seen += await browser.ask(MIGRATED, node=1)
        assert (copies(seen), texts(seen)) == (["sent", "received", "late"], [])

    test()


@on_virtual_time
async def test_two_sessions_miss_no_copy(world: World, feeds: list[float]) -> None:
    """They migrate together to a node that has none of the account's sessions."""
    await world.node()
    browsers = [await Browser.login(world, "juliet", resource=name) for name in ("a", "b")]
    for browser in browsers:
        await browser.ask(ENABLE)
        await browser.ask(AVAILABLE)
    phone = await world.user("juliet", "phone", 1)
    await world.leave(0)
    phone.chat("romeo@localhost", "sent")
    await phone.settled()
    asked = asyncio.ensure_future(browsers[0].ask(MIGRATED, node=2))
    await asyncio.sleep(0.01)
    seen = [await browsers[1].ask(MIGRATED, node=2), await asked]
    await asyncio.sleep(REST_SECONDS)
    for elements, browser in zip(seen, reversed(browsers), strict=True):
        elements += await browser.ask(MIGRATED, node=2)
        assert copies(elements) == ["sent"]


@pytest.mark.parametrize("is_late", [False, True])
def test_an_unavailable_session_migrates(is_late: bool) -> None:
    """It received a message that was for it alone, and becomes available on the new node."""

    @on_virtual_time
    async def test(world: World, feeds: list[float]) -> None:
        romeo = await world.user("romeo", "orchard", 0)
        browser = await Browser.login(world, "juliet")
        if is_late:
            await world.user("juliet", "phone", 1)
            feeds[1] = 3.0
        romeo.chat("juliet@localhost", "one")
        romeo.chat(browser.jid, "two")
        assert texts((await browser.post("")).elements) == ["two"]
        await world.leave(0)
        assert texts(await browser.ask(MIGRATED, node=1)) == []
        assert texts(await browser.ask(AVAILABLE, node=1)) == ["one"]
        await asyncio.sleep(REST_SECONDS)
        assert texts(await browser.ask(MIGRATED, node=1)) == []

    test()


@on_virtual_time
async def test_a_copy_is_not_confirmed(world: World, feeds: list[float]) -> None:
    """Two clients vanish, one with a message to its resource, the other with the copy of it: the
    account's next session receives the message."""
    romeo = await world.user("romeo", "orchard")
    first = await Browser.login(world, "juliet")
    await first.ask(AVAILABLE)
    await asyncio.sleep(REST_SECONDS)
    second = await Browser.login(world, "juliet", resource="desk")
    await second.ask(ENABLE)
    await second.ask(AVAILABLE)
    romeo.chat(first.jid, "one")
    await romeo.settled()
    await asyncio.sleep(GONE_SECONDS)
    assert len(world.server.bosh) == 0
    assert await got(await (await world.user("juliet", "phone")).available()) == ["one"]


@on_virtual_time
async def test_a_copy_of_a_message_that_was_received_is_lost(
    world: World, feeds: list[float]
) -> None:
    """A client vanishes with the copy of a message. The client with the message receives no other
    one."""
    romeo = await world.user("romeo", "orchard")
    phone = await (await world.user("juliet", "phone")).available()
    browser = await Browser.login(world, "juliet", resource="desk")
    await browser.ask(ENABLE)
    romeo.chat(phone.jid, "one")
    await romeo.settled()
    await asyncio.sleep(GONE_SECONDS)
    assert len(world.server.bosh) == 0
    assert await got(phone) == ["one"]


@on_virtual_time
async def test_a_direct_message_was_pending_when_the_marker_was_read(
    world: World, feeds: list[float]
) -> None:
    """The client has received the message since then, and its session has migrated."""
    romeo = await world.user("romeo", "orchard")
    browser = await Browser.login(world, "juliet")
    await browser.ask(AVAILABLE)
    await browser.ask(f"<presence xmlns='jabber:client' type='unavailable'/>{MIGRATED}")
    romeo.chat(browser.jid, "one")
    await asyncio.sleep(REST_SECONDS)
    await world.user("juliet", "phone", 1)
    assert texts((await browser.post("")).elements) == ["one"]
    await world.leave(0)
    assert texts(await browser.ask(MIGRATED, node=1)) == []
    await asyncio.sleep(REST_SECONDS)
    assert texts(await browser.ask(AVAILABLE, node=1)) == []


@on_virtual_time
async def test_a_session_ends_while_it_is_resumed(world: World, feeds: list[float]) -> None:
    """Another client binds the resource meanwhile. Nothing is left of the session."""
    browser = await Browser.login(world, "juliet")
    await browser.ask(AVAILABLE)
    await world.leave(0)
    server = world.servers[1]
    request = asyncio.create_task(browser.post(MIGRATED, node=1))
    while "juliet@localhost" not in server.users.by_jid:  # noqa: ASYNC110
        await asyncio.sleep(LATENCY_SECONDS / 2)
    stream = server.users.by_jid["juliet@localhost"].sessions["balcony"].stream
    assert not server.bosh.has(browser.sid), "the session is being resumed"
    stream.fail(StreamError("conflict"))
    assert (await request).get("condition") == "remote-stream-error"
    await asyncio.sleep(REST_SECONDS)
    assert server.users.by_jid == {}
    assert not await server.kv.json(locations_key("juliet@localhost"))


@on_virtual_time
async def test_a_full_address_has_one_session_on_all_nodes(
    world: World, feeds: list[float]
) -> None:
    """RFC 6121 §8.5.3.1: no other session receives the message, whatever its node."""
    romeo = await world.user("romeo", "orchard")
    phone = await (await world.user("juliet", "phone", 1)).available()
    desk = await (await world.user("juliet", "desk")).available()
    copied = await (await world.user("juliet", "copied")).available()
    copied.say(ENABLE)
    romeo.chat("juliet@localhost/phone", "one")
    romeo.chat("juliet@localhost/phone", "two", "normal")
    romeo.chat("juliet@localhost", "three")
    romeo.say(COMPOSES)
    await asyncio.sleep(REST_SECONDS)
    assert [len(composing(client)) for client in (phone, desk)] == [1, 0], "it is not archived"
    assert await got(phone) == ["one", "two", "three"]
    assert await got(desk) == ["three"]
    assert len([e for e in copied.seen if e.find("received", CARBONS) is not None]) == 3
    await asyncio.sleep(GONE_SECONDS)
    phone.leave()
    await asyncio.sleep(REST_SECONDS)
    assert await got(desk) == ["three"], "the other session had the others"
    romeo.chat("juliet@localhost/phone", "four")
    await asyncio.sleep(REST_SECONDS)
    assert await got(desk) == ["three", "four"], "no node has the session any more"


def kill(server: XmppServer) -> None:
    """Let a node vanish: no heartbeat, no feed, no marker any more."""
    for timer in (server.membership._timer, server.users._timer):
        assert timer is not None
        timer.cancel()
    for user in server.users.by_jid.values():
        user.close()


@on_virtual_time
async def test_both_nodes_of_a_full_address_die(world: World, feeds: list[float]) -> None:
    """One has left the message to the other, which never had it."""
    romeo = await world.user("romeo", "orchard")
    await (await world.user("juliet", "phone", 1)).available()
    desk = await (await world.user("juliet", "desk")).available()
    romeo.chat("juliet@localhost", "both")
    await asyncio.sleep(REST_SECONDS)
    kill(world.servers[1])
    romeo.chat("juliet@localhost/phone", "one")
    await asyncio.sleep(REST_SECONDS)
    assert await got(desk) == ["both"]
    kill(world.servers[0])
    await world.node()
    await asyncio.sleep(2 * DEAD_SECONDS)
    late = await (await world.user("juliet", "late", 2)).available()
    await asyncio.sleep(REST_SECONDS)
    assert await got(late) == ["one"]


@on_virtual_time
async def test_the_node_dies_that_left_a_message_to_another(
    world: World, feeds: list[float]
) -> None:
    """The session of the full address has received the message, so no other session lacks it."""
    romeo = await world.user("romeo", "orchard", 1)
    desk = await (await world.user("juliet", "desk", 1)).available()
    phone = await (await world.user("juliet", "phone", 1)).available()
    await (await world.user("juliet", "tablet")).available()
    romeo.chat("juliet@localhost/phone", "one")
    await asyncio.sleep(REST_SECONDS)
    marker = await world.servers[1].kv.json(marker_key("juliet@localhost"))
    assert world.servers[0].membership.id in marker["pending"]
    kill(world.servers[0])
    await asyncio.sleep(2 * DEAD_SECONDS)
    romeo.chat("juliet@localhost", "two")
    await asyncio.sleep(2 * REST_SECONDS)
    marker = await world.servers[1].kv.json(marker_key("juliet@localhost"))
    assert "pending" not in marker, "the living node has taken the message over"
    assert (await got(phone), await got(desk)) == (["one", "two"], ["two"])


class SlowNodes:
    """The other nodes, which a test lets answer one question after the other."""

    node, shared = "here", True

    def __init__(self) -> None:
        self.asked: list[asyncio.Future[str | None]] = []
        self.resources: list[str] = []

    async def is_alive(self, node: str) -> bool:
        return True

    async def locate(self, to: Jid) -> str | None:
        self.resources.append(to.resource)
        self.asked.append(asyncio.get_running_loop().create_future())
        return await self.asked[-1]


@on_virtual_time
async def test_messages_wait_for_a_location_and_for_a_session(
    world: World, feeds: list[float]
) -> None:
    """The first was held back while the next ones still wait: none overtakes it."""
    romeo = await world.user("romeo", "orchard")
    desk = await (await world.user("juliet", "desk")).available()
    user = world.server.users.by_jid["juliet@localhost"]
    user._nodes = nodes = SlowNodes()
    for text in ("one", "two", "three"):
        romeo.chat("juliet@localhost/phone", text)
    await asyncio.sleep(REST_SECONDS)
    user.state.caught_up = False
    assert user.hold_back()
    nodes.asked[0].set_result(None)
    await asyncio.sleep(1.0)
    assert user._held_back
    user.release()
    # The question for the first is asked again.
    for n in range(1, 5):
        if n < len(nodes.asked):
            nodes.asked[n].set_result(None)
        await asyncio.sleep(1.0)
    assert await got(desk) == ["one", "two", "three"]
    user._nodes = world.server.users.cluster


@on_virtual_time
async def test_a_location_that_fails_loses_no_message(world: World, feeds: list[float]) -> None:
    romeo = await world.user("romeo", "orchard")
    desk = await (await world.user("juliet", "desk")).available()
    user = world.server.users.by_jid["juliet@localhost"]
    user._nodes = nodes = SlowNodes()
    for text in ("one", "two", "three"):
        romeo.chat("juliet@localhost/phone", text)
    await asyncio.sleep(REST_SECONDS)
    nodes.asked[0].set_exception(RuntimeError("a mistake in the code"))
    await asyncio.sleep(1.0)
    assert await got(desk) == ["one", "two", "three"]
    user._nodes = world.server.users.cluster


@on_virtual_time
async def test_many_messages_to_one_address_cost_one_question(
    world: World, feeds: list[float]
) -> None:
    await (await world.user("juliet", "desk")).available()
    user = world.server.users.by_jid["juliet@localhost"]
    for offset in range(1, 500):
        user.state.leave_to(offset, "phone", "there", world.server.hub.now())
    user._nodes = nodes = SlowNodes()
    taking = asyncio.create_task(user.take_over())
    await asyncio.sleep(0.1)
    nodes.asked[0].set_result("there")
    await taking
    assert nodes.resources == ["phone"]
    user._nodes = world.server.users.cluster


@on_virtual_time
async def test_a_guest_that_no_node_has_gives_an_error(world: World, feeds: list[float]) -> None:
    """A guest has no archive, so nobody would ever receive the message."""
    romeo = await world.user("romeo", "orchard")
    guest = await (await world.user("", "", 1)).available()
    kill(world.servers[1])
    await asyncio.sleep(2 * DEAD_SECONDS)
    for to in (guest.jid, guest.bare):
        romeo.chat(to, "one")
        error = await romeo.stanza("message", type="error", sender=to)
        assert condition(error) == "service-unavailable"


@on_virtual_time
async def test_a_full_address_on_a_node_that_dies(world: World, feeds: list[float]) -> None:
    """Its node counts as alive for a while; then the other sessions receive the message."""
    romeo = await world.user("romeo", "orchard")
    await (await world.user("juliet", "phone", 1)).available()
    desk = await (await world.user("juliet", "desk")).available()
    dead = world.servers[1].membership
    assert dead._timer is not None
    dead._timer.cancel()
    for user in world.servers[1].users.by_jid.values():
        user.close()
    romeo.chat("juliet@localhost/phone", "one")
    await asyncio.sleep(REST_SECONDS)
    assert await got(desk) == []
    await asyncio.sleep(60.0)
    assert await got(desk) == ["one"]
