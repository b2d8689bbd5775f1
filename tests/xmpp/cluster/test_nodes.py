"""Two nodes on one Redis: the place of a session makes no difference."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from pushhub import xml
from pushhub.bosh.body import HTTPBIND, parse
from pushhub.log.cursor import Start
from pushhub.log.event import MAX_EVENT_BYTES, Draft
from pushhub.store.base import Append, StoreUnavailable, append
from pushhub.store.redis.feed import Feed
from pushhub.store.redis.store import RedisStore
from pushhub.xmpp.cluster import forwarding, gc
from pushhub.xmpp.cluster.directory import SessionDirectory
from pushhub.xmpp.cluster.membership import Membership
from pushhub.xmpp.cluster.migration import migration_key
from pushhub.xmpp.cluster.router import ClusterRouter
from pushhub.xmpp.model import namespaces as ns
from pushhub.xmpp.model.jid import parse_jid
from pushhub.xmpp.storage.archive import archive_channel
from pushhub.xmpp.storage.key_value import KeyValueStore
from pushhub.xmpp.transport import returned_sessions
from tests import redis_servers
from tests.store.labs import Clock, make_lab
from tests.waiting import NEWS_SECONDS, until
from tests.xmpp.browser import Browser, Call
from tests.xmpp.routing.test_delivery import block, caught_up
from tests.xmpp.routing.test_vanished import AVAILABLE, got
from tests.xmpp.world import World, body, condition

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from pushhub.xmpp.routing.session import XmppSession
    from tests.xmpp.world import Client

PING = f"<iq xmlns='jabber:client' type='get' id='p'><ping xmlns='{ns.PING}'/></iq>"


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


async def test_a_full_address_is_known_on_every_node(pair: World) -> None:
    romeo = await (await pair.user("romeo", "orchard", 0)).available()
    juliet = await (await pair.user("juliet", "balcony", 1)).available()
    nobody = await (await pair.user("", "", 1)).available()
    # RFC 6121 §8.5.3: every type is delivered to an existing session, on any node.
    for number, kind in enumerate(("normal", "headline", "groupchat", "error", "chat")):
        for other in (juliet, nobody):
            romeo.chat(other.jid, f"{kind} {number}", kind)
            await other.message(f"{kind} {number}")
    for kind in ("normal", "groupchat"):
        romeo.chat("juliet@localhost/gone", "lost", kind)
        error = await romeo.stanza("message", type="error")
        assert condition(error) == "service-unavailable"
    # A bare address accepts no groupchat, and no loss is silent.
    for to in ("juliet@localhost", nobody.bare):
        romeo.chat(to, "lost", "groupchat")
        await romeo.stanza("message", type="error", sender=to)
    nobody.say(f"<presence xmlns='{ns.CLIENT}'><priority>-1</priority></presence>")
    await nobody.own_presence()
    romeo.chat(nobody.bare, "lost")
    await romeo.stanza("message", type="error", sender=nobody.bare)
    assert not [e for e in juliet.seen + nobody.seen if body(e) == "lost"]


async def test_accounts_exchange_messages_across_nodes(pair: World) -> None:
    romeo = await (await pair.user("romeo", "orchard", 0)).available()
    juliet = await (await pair.user("juliet", "balcony", 1)).available()
    romeo.chat("juliet@localhost", "one")
    await juliet.message("one")
    juliet.chat(romeo.jid, "two")
    await romeo.message("two")
    romeo.say(
        f"<message xmlns='{ns.CLIENT}' to='{juliet.jid}' type='chat'>"
        f"<composing xmlns='{ns.CHAT_STATES}'/></message>"
    )
    await juliet.next(lambda e: e.name == "message" and e.find("composing", ns.CHAT_STATES))


async def test_anonymous_sessions_exchange_messages_across_nodes(pair: World) -> None:
    one, other = await pair.user("", "", 0), await pair.user("", "", 1)
    one.chat(other.jid, "hello")
    assert (await other.message("hello")).get("from") == one.jid
    other.chat(one.jid, "hello yourself")
    await one.message("hello yourself")


@pytest.mark.parametrize("method", ["find", "other_nodes", "post"])
async def test_a_message_that_the_store_does_not_take_comes_back(
    pair: World, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Guests have no archive: without an error the message would be lost silently."""
    one, other = await pair.user("", "", 0), await pair.user("", "", 1)

    async def fail(*_: Any, **__: Any) -> None:
        raise StoreUnavailable("The store has just gone.")

    with monkeypatch.context() as failing:
        failing.setattr(Membership if method == "post" else SessionDirectory, method, fail)
        one.chat(other.jid, "hello")
        error = await one.stanza("message", type="error", sender=other.jid)
        await pair.servers[0].settle()
    assert condition(error) == "internal-server-error"
    assert (found := error.find("error")) is not None
    assert found.get("type") == "wait"
    one.chat(other.jid, "hello again")
    await other.message("hello again")


async def test_a_new_epoch_of_the_store_repeats_no_message(rack: redis_servers.Rack) -> None:
    """The inbox of a node begins again at its oldest message, as after each failover."""
    redis = rack.start(redis_servers.KINDS["valkey9"], appendonly="yes", appendfsync="always")
    world = World(lambda: RedisStore(redis.url()), shared=True)
    for _ in range(2):
        await world.node()
    try:
        one, other = await world.user("", "", 0), await world.user("", "", 1)
        for text in ("one", "two"):
            one.chat(other.jid, text)
            await other.message(text)
        epochs = {server.hub.store.epoch for server in world.servers}
        await asyncio.to_thread(redis.restart)
        await until(
            lambda: all(
                server.hub.store.ready and server.hub.store.epoch not in epochs
                for server in world.servers
            )
        )
        one.chat(other.jid, "three")
        await other.message("three")
        assert [body(e) for e in other.seen if e.name == "message"] == []
    finally:
        await world.close()


async def test_an_iq_gets_its_response_across_nodes(pair: World) -> None:
    romeo, juliet = await pair.user("romeo", "a", 0), await pair.user("juliet", "b", 1)
    asked = asyncio.create_task(romeo.iq("get", f"<ping xmlns='{ns.PING}'/>", juliet.jid))
    ping = await juliet.stanza("iq", type="get")
    juliet.say(
        f"<iq xmlns='{ns.CLIENT}' type='result' id='{ping.get('id')}' to='{ping.get('from')}'/>"
    )
    assert (await asked).get("type") == "result"
    ping_nobody = f"<ping xmlns='{ns.PING}'/>"
    assert await romeo.refused("get", ping_nobody, "juliet@localhost/x") == "service-unavailable"


async def test_presence_and_roster_cross_nodes(pair: World) -> None:
    romeo = await (await pair.user("romeo", "orchard", 0)).available()
    juliet = await (await pair.user("juliet", "balcony", 1)).available()
    await juliet.ask("get", f"<query xmlns='{ns.ROSTER}'/>")
    romeo.say(f"<presence xmlns='{ns.CLIENT}' to='juliet@localhost' type='subscribe'/>")
    await juliet.stanza("presence", type="subscribe", sender="romeo@localhost")
    juliet.say(f"<presence xmlns='{ns.CLIENT}' to='romeo@localhost' type='subscribed'/>")
    await romeo.stanza("presence", type="subscribed", sender="juliet@localhost")
    await romeo.next(lambda e: e.name == "presence" and e.get("from") == juliet.jid)
    juliet.leave()
    await romeo.stanza("presence", type="unavailable", sender=juliet.jid)


async def test_a_resource_is_bound_once(pair: World) -> None:
    first = await pair.user("romeo", "orchard", 0)
    second = await pair.user("romeo", "orchard", 1)
    assert await first.ended() == "conflict"
    await second.settled()
    second.chat("juliet@localhost", "hello")


async def test_an_account_is_on_two_nodes(pair: World) -> None:
    phone = await (await pair.user("juliet", "phone", 0)).available()
    desk = await (await pair.user("juliet", "desk", 1)).available()
    romeo = await pair.user("romeo", "orchard", 0)
    romeo.chat("juliet@localhost", "to both")
    await phone.message("to both")
    await desk.message("to both")
    await desk.ask("set", f"<enable xmlns='{ns.CARBONS}'/>")
    phone.chat("romeo@localhost", "from the phone")
    carbon = await desk.next(lambda e: e.name == "message" and e.find("sent", ns.CARBONS))
    assert carbon.get("from") == "juliet@localhost"


async def test_a_dead_node_loses_no_message(pair: World) -> None:
    """The process dies suddenly; the next session receives its accepted messages."""
    juliet = await (await pair.user("juliet", "balcony", 1)).available()
    romeo = await pair.user("romeo", "orchard", 0)
    romeo.chat("juliet@localhost", "heard")
    await juliet.message("heard")
    # From here on the second node does nothing.
    for home in pair.servers[1].users.by_jid.values():
        home.close()
    romeo.chat("juliet@localhost", "not heard")
    await romeo.settled()
    again = await (await pair.user("juliet", "phone", 0)).available()
    message = await again.message("not heard")
    assert message.find("delay", ns.DELAY) is not None


async def test_a_message_read_before_its_event_arrives_is_delivered_once(
    pair: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message is in the archive before the feed of a node delivers it: a session that becomes
    available in between finds it there."""
    romeo = await pair.user("romeo", "orchard", 0)
    juliet = await pair.user("juliet", "balcony", 1)
    phone = await pair.user("juliet", "phone", 1)
    message, news = Feed.message, list[tuple[Any, ...]]()
    with monkeypatch.context() as late:
        late.setattr(Feed, "message", lambda *told: news.append(told))
        romeo.chat("juliet@localhost", "for all")
        romeo.chat("juliet@localhost/phone", "for the phone")
        await romeo.settled()
        await juliet.available()
        for text in ("for all", "for the phone"):
            await juliet.message(text)
    for told in news:
        message(*told)
    await caught_up(juliet, phone)
    assert [body(e) for e in juliet.seen if e.name == "message"] == []
    assert [body(e) for e in phone.seen if e.name == "message"] == ["for the phone"]


async def test_messages_keep_their_order_when_an_event_is_late(
    pair: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    romeo = await pair.user("romeo", "orchard", 0)
    juliet = await (await pair.user("juliet", "balcony", 0)).available()
    await caught_up(juliet)
    message, news = Feed.message, list[tuple[Any, ...]]()
    with monkeypatch.context() as late:
        late.setattr(Feed, "message", lambda *told: news.append(told))
        romeo.chat(juliet.jid, "first")
        romeo.say(
            f"<message xmlns='{ns.CLIENT}' to='{juliet.jid}' type='chat' id='then'>"
            f"<paused xmlns='{ns.CHAT_STATES}'/></message>"
        )
        # Replies arrive in the order of commands; the result of the look-up takes some more turns.
        for _ in range(5):
            await pair.servers[0].hub.store.read(archive_channel("juliet@localhost"), Start.LAST, 1)
    for told in news:
        message(*told)
    await romeo.settled()

    def come() -> list[str | None]:
        return [body(e) or e.get("id") for e in juliet.seen if e.name == "message"]

    await until(lambda: len(come()) == 2)
    assert come() == ["first", "then"]


# -- BOSH ----------------------------------------------------------------------


async def test_any_node_accepts_any_request(pair: World) -> None:
    browser = await Browser.login(pair, "juliet", node=0)
    seen = await browser.ask(f"<presence xmlns='jabber:client'/>{PING}", node=1)
    assert [(e.name, e.get("type")) for e in seen] == [("presence", None), ("iq", "result")]
    romeo = await pair.user("romeo", "orchard", 1)
    held = browser.hold(node=1)
    romeo.chat("juliet@localhost", "hello")
    answered = await held
    assert [body(m) for m in answered.elements] == ["hello"]
    lost = await browser.stranger("unknown", node=1)
    assert (lost.get("type"), lost.get("condition")) == ("terminate", "item-not-found")


async def test_a_session_outlives_its_node(pair: World) -> None:
    """A drain migrates the session, and its client notices nothing."""
    browser = await Browser.login(pair, "juliet", node=0)
    await browser.ask(
        f"<presence xmlns='jabber:client'/>"
        f"<iq xmlns='jabber:client' type='set' id='c'><enable xmlns='{ns.CARBONS}'/></iq>"
    )
    romeo = await pair.user("romeo", "orchard", 1)
    held = browser.hold(node=0)
    await pair.leave(0)
    assert (await held).get("type") is None
    romeo.chat("juliet@localhost", "are you there?")
    await romeo.settled()
    answer = await browser.post("", node=1)
    assert [body(m) for m in answer.elements] == ["are you there?"]
    session = pair.servers[1].users.by_jid["juliet@localhost"].sessions["balcony"]
    assert session.carbons
    assert session.presence is not None
    held = browser.hold(node=1)
    romeo.chat("juliet@localhost/balcony", "and now?")
    assert [body(m) for m in (await held).elements] == ["and now?"]


async def test_an_anonymous_session_outlives_its_node(pair: World) -> None:
    browser = await Browser.login(pair, "", node=0)
    other = await pair.user("", "", 1)
    await browser.ask(
        f"<iq xmlns='jabber:client' type='set' id='s' to='pubsub.localhost'>"
        f"<pubsub xmlns='{ns.PUBSUB}'><subscribe node='news' jid='{browser.jid}'/></pubsub></iq>"
    )
    await pair.leave(0)
    held = browser.hold(
        f"<message xmlns='jabber:client' to='{other.jid}' type='chat'><body>hi</body></message>",
        node=1,
    )
    await other.message("hi")
    other.chat(browser.jid, "hi yourself")
    assert [body(m) for m in (await held).elements] == ["hi yourself"]
    held = browser.hold(node=1)
    store = pair.servers[1].hub.store
    await append(store, Append("news", Draft(b"1")))
    (message,) = (await held).elements
    assert message.find("event", ns.PUBSUB_EVENT) is not None


async def test_the_session_of_a_dead_node_has_ended(pair: World) -> None:
    browser = await Browser.login(pair, "juliet", node=0)
    node, other = pair.servers[0].membership, pair.servers[1].membership
    assert other.node_of(browser.sid) == node.id
    assert await other.is_alive(node.id)
    # The same state as after twenty seconds of silence.
    await pair.servers[0].kv.set(f"$xmpp:sign:{node.id}", b"left")
    async with asyncio.timeout(NEWS_SECONDS):
        while await other.is_alive(node.id):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    answer = await browser.post("", node=1)
    assert (answer.get("type"), answer.get("condition")) == ("terminate", "item-not-found")


async def test_an_account_on_two_nodes_when_one_leaves(pair: World) -> None:
    """Messages during a migration are delivered to the migrated session, too, after other sessions
    of the account received them."""
    desk = await Browser.login(pair, "juliet", node=0)
    await desk.ask(AVAILABLE)
    phone = await (await pair.user("juliet", "phone", 1)).available()
    romeo = await pair.user("romeo", "orchard", 1)
    romeo.chat("juliet@localhost", "before")
    await phone.message("before")
    seen = [body(m) for m in (await desk.post("")).elements if m.name == "message"]
    await pair.leave(0)
    romeo.chat("juliet@localhost", "between")
    await phone.message("between")
    answers = await desk.ask(AVAILABLE, node=1)
    seen += [body(m) for m in answers if m.name == "message"]
    assert seen == ["before", "between"]


# -- states that are larger than one value -------------------------------------


async def attempt(browser: Browser, rid: int, node: int) -> tuple[int, bytes]:
    """A request that asks for a ping, the same bytes for each rid; its status and body."""
    raw = f"<body xmlns='{HTTPBIND}' rid='{rid}' sid='{browser.sid}'>{PING}</body>".encode()
    call = Call()
    browser.sessions(node).request(parse(raw), raw, call)
    return await asyncio.wait_for(call.done, NEWS_SECONDS)


@pytest.mark.parametrize("large", [False, True], ids=["small", "in parts"])
async def test_a_session_survives_a_failure_of_the_store_while_it_is_resumed(
    pair: World, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    """The node that took the session gives it back: the same request succeeds later, on any
    node."""
    await pair.node()
    romeo = await pair.user("romeo", "orchard", 2)
    browser = await loaded(pair, romeo, 4 if large else 1)
    rid = next(browser.rids)
    await pair.leave(0)
    adding, failures = SessionDirectory.add, 0

    async def add(self: SessionDirectory, session: XmppSession, *, migrated: bool = False) -> None:
        nonlocal failures
        if migrated and failures < 3:
            failures += 1
            raise StoreUnavailable("The store has just gone.")
        await adding(self, session, migrated=migrated)

    monkeypatch.setattr(SessionDirectory, "add", add)
    monkeypatch.setattr(returned_sessions, "RETURN_SECONDS", 0.01)
    for number in itertools.count():
        status, answer = await attempt(browser, rid, node=1 + number % 2)
        if status != 503:
            break
        assert number < 100
        # What the client of a request with a 503 waits.
        await asyncio.sleep(0.01)
    assert (status, failures) == (200, 3)
    texts = [body(m) for m in xml.parse(answer, own=True).elements if m.name == "message"]
    assert [(text or "").partition(" ")[0] for text in texts][:1] == ["0"]
    assert sum(len(sessions.transports) for sessions in pair.sessions[1:]) == 1
    for server, sessions in zip(pair.servers[1:], pair.sessions[1:], strict=True):
        await server.settle()
        assert ("juliet@localhost" in server.users.by_jid) == bool(sessions.transports)
        assert not server.users._closing


async def test_a_request_that_could_not_be_forwarded_is_forgotten(
    pair: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = await Browser.login(pair, "juliet", node=0)
    rid, post = next(browser.rids), Membership.post

    async def fail(*message: object) -> bool:
        raise StoreUnavailable("The store has just gone.")

    monkeypatch.setattr(Membership, "post", fail)
    assert await attempt(browser, rid, node=1) == (503, b"")
    assert not pair.sessions[1]._forwarding._sent
    monkeypatch.setattr(Membership, "post", post)
    status, _ = await attempt(browser, rid, node=1)
    assert status == 200


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of migrated sessions, as they are written; from the fifth on the store fails if the
    list begins with `broken`."""
    ns: list[str] = []
    setting = KeyValueStore.set

    async def noted(self: KeyValueStore, name: str, *args: Any) -> Any:
        if ":moved:" in name:
            if ns[:1] == ["broken"] and len(ns) > 3:
                raise StoreUnavailable("The store has just gone.")
            ns.append(name)
        return await setting(self, name, *args)

    monkeypatch.setattr(KeyValueStore, "set", noted)
    return ns


async def left(world: World, written: list[str]) -> int:
    """The number of stored values."""
    kv = world.servers[1].kv
    found = [await kv.stored(name) for name in {*written} - {"broken"}]
    return sum(event is not None for event in found)


async def loaded(world: World, romeo: Client, count: int) -> Browser:
    """Juliet's client is disconnected, and so many messages of 100 kB wait for it."""
    browser = await Browser.login(world, "juliet", node=0)
    await browser.ask(AVAILABLE)
    for number in range(count):
        romeo.chat("juliet@localhost", f"{number} {'x' * 100_000}")
    await romeo.settled()
    (carrier,) = world.sessions[0].transports.values()
    await until(lambda: len(carrier.session.pending()[0]) == count)
    return browser


async def test_a_large_session_outlives_its_node(pair: World, written: list[str]) -> None:
    """900 kB wait for the client: migrated in parts, they arrive once and in order."""
    romeo = await pair.user("romeo", "orchard", 1)
    browser = await loaded(pair, romeo, 9)
    await pair.leave(0)
    assert await left(pair, written) == 1 + 4
    seen: list[str] = []
    while len(seen) < 9:
        answer = await browser.post("", node=1)
        assert answer.get("type") is None, answer
        seen += [(body(m) or "").partition(" ")[0] for m in answer.elements]
    assert seen == [str(number) for number in range(9)]
    assert await left(pair, written) == 1, "the parts are gone"
    held = browser.hold(node=1)
    romeo.chat("juliet@localhost", "and now?")
    assert [body(m) for m in (await held).elements] == ["and now?"]
    await browser.ask(PING, node=1)
    (carrier,) = pair.sessions[1].transports.values()
    carrier.session._seen -= 151
    carrier.expire()
    await pair.servers[1].settle()
    assert not await left(pair, written)


async def test_two_nodes_resume_a_large_session(pair: World) -> None:
    """One node resumes the session, and responds for the other node."""
    await pair.node()
    romeo = await pair.user("romeo", "orchard", 1)
    browser = await loaded(pair, romeo, 4)
    await pair.leave(0)
    one, other = browser.hold(node=1), browser.hold(node=2)
    async with asyncio.timeout(10):
        answers = [await one]
        romeo.chat("juliet@localhost", "more")
        answers.append(await other)
    assert all(answer.get("type") is None for answer in answers), answers
    texts = [(body(m) or "").partition(" ")[0] for a in answers for m in a.elements]
    while len(texts) < 5:
        answer = await browser.post("", node=1)
        texts += [(body(m) or "").partition(" ")[0] for m in answer.elements]
    assert texts == ["0", "1", "2", "3", "more"]
    assert sum(len(sessions.transports) for sessions in pair.sessions[1:]) == 1


@pytest.mark.parametrize("size", [10, MAX_EVENT_BYTES], ids=["small", "in parts"])
async def test_the_new_node_of_a_session_is_known_before_the_event_arrives(
    pair: World, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    one, other = (server.migration for server in pair.servers)
    state = {"x": "x" * size}
    await one.leave("sid", orjson.dumps(state), "key")
    # Both nodes have read that no node has the session.
    for server in pair.servers:
        assert await server.kv.json(migration_key("sid"))
    monkeypatch.setattr(Feed, "message", lambda *told: None)
    assert await one.take("sid", "one") == (state, "one")
    assert await other.take("sid", "other") == (None, "one")


@pytest.mark.parametrize("broken", [False, True], ids=["whole", "broken off"])
async def test_a_large_session_without_a_request(
    pair: World, monkeypatch: pytest.MonkeyPatch, written: list[str], broken: bool
) -> None:
    """The parts are deleted; if all parts exist, the next session receives the messages."""
    romeo = await pair.user("romeo", "orchard", 1)
    browser = await loaded(pair, romeo, 9)
    if broken:
        written.append("broken")
    await pair.leave(0)
    assert await left(pair, written) == (3 if broken else 5)
    if broken:
        assert (await browser.post("", node=1)).get("condition") == "item-not-found"
    monkeypatch.setattr(gc, "FORGET_SECONDS", 0.0)
    await pair.servers[1].gc.run()
    assert not await left(pair, written)
    if not broken:
        juliet = await (await pair.user("juliet", "phone", 1)).available()
        texts = [(text or "").partition(" ")[0] for text in await got(juliet)]
        assert texts == [str(number) for number in range(9)]


async def test_the_login_deadline_migrates(pair: World) -> None:
    browser = Browser(pair, 0)
    opened = await browser._send("to='localhost' wait='10' hold='1' ver='1.6'")
    browser.sid = opened.get("sid") or ""
    (carrier,) = pair.sessions[0].transports.values()
    carrier.stream.login_deadline -= 89.5
    await pair.leave(0)
    answer = await browser.post("", node=1)
    assert answer.get("condition") == "remote-stream-error"
    assert answer.elements[0].elements[0].name == "connection-timeout"


async def test_a_service_is_blocked_on_every_node(pair: World) -> None:
    desk = await (await pair.user("juliet", "desk", 0)).available()
    phone = await (await pair.user("juliet", "phone", 1)).available()
    witness, store = await pair.user("", "", 1), pair.servers[1].hub.store

    def subscribe(jid: str) -> str:
        return f"<pubsub xmlns='{ns.PUBSUB}'><subscribe node='news' jid='{jid}'/></pubsub>"

    async def told(data: bytes) -> bool:
        phone.seen.clear()
        await append(store, Append("news", Draft(data)))
        await witness.next(lambda e: e.find("event", ns.PUBSUB_EVENT))
        await phone.settled()
        return any(e.find("event", ns.PUBSUB_EVENT) for e in phone.seen)

    await phone.ask("set", subscribe(phone.bare), "pubsub.localhost")
    await witness.ask("set", subscribe(witness.jid), "pubsub.localhost")
    assert await told(b"1")
    # The phone is notified after the change is in force.
    await phone.ask("get", block("blocklist"))
    await desk.ask("set", block("block", "pubsub.localhost"))
    await phone.next(lambda e: e.name == "iq" and e.find("block", ns.BLOCKING))
    assert not await told(b"2")
    await desk.ask("set", block("unblock"))
    await phone.next(lambda e: e.name == "iq" and e.find("unblock", ns.BLOCKING))
    assert await told(b"3")


async def test_a_message_that_comes_at_the_end_of_its_node_comes_back(
    pair: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its sender has read the node's heartbeat, and the guest's session has left."""
    browser, other = await Browser.login(pair, "", node=0), await pair.user("", "", 1)
    setting = KeyValueStore.set

    async def late(self: KeyValueStore, name: str, *args: Any) -> Any:
        done = await setting(self, name, *args)
        if args == (b"left",):
            cluster = router(pair, 1)
            to, message = parse_jid(browser.jid), chat(other.jid, browser.jid, "late")
            header = {"to": to.text, "kind": "chat", "copied": False, "peer": other.bare}
            node = pair.servers[0].membership.id
            await cluster._membership.post(node, "message", header | {"fails": True}, message)
        return done

    monkeypatch.setattr(KeyValueStore, "set", late)
    await pair.leave(0)
    error = await other.stanza("message", type="error", sender=browser.jid)
    assert condition(error) == "service-unavailable"


async def test_an_error_follows_a_session_to_its_next_node(pair: World) -> None:
    """A message of a guest comes back while its session is between two nodes."""
    browser, other = await Browser.login(pair, "", node=0), await pair.user("", "", 1)
    await pair.leave(0)
    cluster = router(pair, 1)
    cluster._bounce(xml.parse(chat(browser.jid, other.jid, "lost"), own=True))
    answer = await browser.post("", node=1)
    while not answer.elements:
        answer = await browser.post("", node=1)
    assert condition(answer.elements[0]) == "service-unavailable"


def router(world: World, node: int) -> ClusterRouter:
    """The router of a node."""
    cluster = world.servers[node].users.cluster
    assert isinstance(cluster, ClusterRouter)
    return cluster


def chat(sender: str, to: str, text: str) -> bytes:
    """A message as one node sends it to another."""
    return (
        f"<message xmlns='{ns.CLIENT}' from='{sender}' to='{to}' type='chat'>"
        f"<body>{text}</body></message>"
    ).encode()


async def test_a_node_that_leaves_returns_the_requests_it_has_forwarded(pair: World) -> None:
    browser = await Browser.login(pair, "", node=1)
    held = browser.hold(node=0)
    await until(lambda: pair.sessions[1]._forwarding._received)
    await pair.leave(0)
    answer = await held
    assert (answer.get("type"), list(answer.elements)) == (None, [])


@pytest.mark.parametrize("lost", ["request", "answer"])
async def test_a_forwarded_request_that_the_store_loses_is_forwarded_again(
    pair: World, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    """As in a failover, which loses the last events. The client sees no error."""
    browser = await Browser.login(pair, "juliet", node=1)
    monkeypatch.setattr(forwarding, "CHECK_SECONDS", 0.05)
    posting, losses = Membership.post, 0

    async def post(self: Membership, node: str, kind: str, *message: Any) -> bool:
        nonlocal losses
        if kind == lost and not losses:
            losses += 1
            return True
        return await posting(self, node, kind, *message)

    monkeypatch.setattr(Membership, "post", post)
    answer = await browser.ask(PING, node=0)
    assert losses == 1
    assert [element.get("type") for element in answer] == ["result"]
