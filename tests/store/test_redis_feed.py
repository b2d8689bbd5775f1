"""What Redis tells by itself, over connections that break in every way."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, cast

import pytest

from pushhub.log.event import Event
from pushhub.store.base import StoreUnavailable
from pushhub.store.redis import link as redis_link
from pushhub.store.redis.feed import BATCH, Feed, FeedWire
from pushhub.store.redis.store import RedisStore
from tests.proxy import Proxy
from tests.redis_servers import KINDS, RedisServer, Shelf
from tests.store.labs import Recorder, item, opened, publish
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pushhub.store.base import Store


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest, redis_shelf: Shelf) -> RedisServer:
    server = redis_shelf.server(request.param)
    server.ask("CONFIG", "RESETSTAT")
    return server


@pytest.fixture
async def proxy(server: RedisServer) -> AsyncIterator[Proxy]:
    async with Proxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def listener() -> Recorder:
    return Recorder()


@pytest.fixture
async def store(proxy: Proxy, listener: Recorder) -> AsyncIterator[Store]:
    """Its commands are the proxy's first passage, its feed the second."""
    async with opened(RedisStore(f"redis://127.0.0.1:{proxy.port}/0"), listener) as store:
        yield store


def followers(server: RedisServer, *names: str) -> list[int]:
    topics = [b"ph:e0:" + name.encode() for name in names]
    return [int(count) for count in server.ask("PUBSUB", "NUMSUB", *topics)[1::2]]


def offsets(told: list[Event | str]) -> list[int]:
    return [event.offset for event in told if isinstance(event, Event)]


# -- subscriptions -------------------------------------------------------------


async def test_a_tail_is_read_after_its_subscription_is_confirmed(
    store: Store, proxy: Proxy, server: RedisServer
) -> None:
    proxy.passages[1].delay = 0.1
    begun = time.monotonic()
    await store.tail("a", 1)
    assert time.monotonic() - begun >= 0.2  # There and back.
    assert followers(server, "a") == [1]


async def test_channels_are_subscribed_in_batches(
    store: Store, server: RedisServer, listener: Recorder
) -> None:
    names = [f"c{number}" for number in range(2000)]
    await asyncio.gather(*(store.tail(name, 1) for name in names))
    assert server.calls("subscribe") == -(-2000 // BATCH)
    await publish(store, *[item(channel=name) for name in names])
    told = await listener.heard(store, 2000)
    assert [event.channel for event in told if isinstance(event, Event)] == names
    for name in names[:1500]:
        store.leave(name)
    await until(lambda: followers(server, *names) == [0] * 1500 + [1] * 500)
    assert server.calls("unsubscribe") == -(-1500 // BATCH)


async def test_a_channel_that_is_followed_is_not_asked_for_again(
    store: Store, server: RedisServer
) -> None:
    for _ in range(3):
        await asyncio.gather(*(store.tail("a", 1) for _ in range(3)))
    assert server.calls("subscribe") == 1


async def test_nobody_is_told_of_what_they_left(
    store: Store, server: RedisServer, listener: Recorder
) -> None:
    for name in "ab":
        await store.tail(name, 1)
    store.leave("a")
    store.leave("never")
    await until(lambda: followers(server, "a") == [0])
    await publish(store, item(channel="a"), item(channel="b"))
    [event] = await listener.heard(store, 1)
    assert isinstance(event, Event)
    assert event.channel == "b"
    await store.tail("a", 1)
    await publish(store, item(channel="a"))
    assert offsets(await listener.heard(store, 2)) == [1, 2]


async def test_who_leaves_and_comes_back_at_once_stays(store: Store, server: RedisServer) -> None:
    await store.tail("a", 1)
    store.leave("a")
    await store.tail("a", 1)
    assert followers(server, "a") == [1]
    assert server.calls("unsubscribe") == 0


class PaperWire:
    """Notes what a feed sends."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, ...]] = []

    def write(self, command: tuple[bytes, ...]) -> None:
        self.sent.append(command)


class Papers:
    """A feed whose connection is a test's."""

    def __init__(self) -> None:
        self.completed = 0
        self.listener = Recorder()
        self.feed = Feed(asyncio.get_running_loop(), self.listener, 0, self._complete)
        self.wire = PaperWire()
        self.feed.connected(cast("FeedWire", self.wire))

    def _complete(self) -> None:
        self.completed += 1
        self.feed.restore()


async def soon(waiting: asyncio.Future[Any]) -> bool:
    """Whether it ends without anything from outside."""
    for _ in range(5):
        await asyncio.sleep(0)
    return waiting.done()


async def test_only_the_last_subscription_is_a_confirmation() -> None:
    """Between an earlier one and the last lies an UNSUBSCRIBE: a time of which nothing is told."""
    papers = Papers()
    first = asyncio.ensure_future(papers.feed.follow("a"))
    assert not await soon(first)
    papers.feed.leave("a")
    assert not await soon(first)
    second = asyncio.ensure_future(papers.feed.follow("a"))
    assert not await soon(second)
    assert [command[0] for command in papers.wire.sent] == [
        b"SUBSCRIBE",
        b"UNSUBSCRIBE",
        b"SUBSCRIBE",
    ]
    papers.feed.confirmed("a")
    assert not await soon(second)
    papers.feed.confirmed("a")
    assert await soon(second)


async def test_who_leaves_before_anything_was_sent_waits_for_nothing() -> None:
    papers = Papers()
    waiting = asyncio.ensure_future(papers.feed.follow("a"))
    await asyncio.sleep(0)
    papers.feed.leave("a")
    assert await soon(waiting)


async def test_a_feed_is_whole_when_the_last_unconfirmed_one_has_left() -> None:
    papers = Papers()
    for name in "ab":
        waiting = asyncio.ensure_future(papers.feed.follow(name))
        await soon(waiting)
        papers.feed.confirmed(name)
    papers.feed.lost()
    papers.feed.connected(cast("FeedWire", PaperWire()))
    late = asyncio.ensure_future(papers.feed.follow("c"))
    await asyncio.sleep(0)
    papers.feed.confirmed("a")
    papers.feed.confirmed("b")
    assert papers.listener.hearing == [True, False]
    papers.feed.leave("c")
    assert await soon(late)
    assert papers.listener.hearing == [True, False, True]
    assert papers.completed == 2


# -- connections that break ----------------------------------------------------


async def test_a_killed_feed_says_so_and_follows_everything_again(
    store: Store, server: RedisServer, listener: Recorder
) -> None:
    for name in "abc":
        await store.tail(name, 1)
    store.leave("c")
    for _ in range(3):
        listener.hearing.clear()
        server.ask("CLIENT", "KILL", "TYPE", "pubsub")
        await until(lambda: len(listener.hearing) == 2)
        assert listener.hearing == [False, True]
        await until(lambda: store.ready)
        assert followers(server, "a", "b", "c") == [1, 1, 0]
    [one] = await publish(store, item())
    assert offsets(await listener.heard(store, 1)) == [one.cursor.offset]


async def test_commands_that_come_back_have_everybody_read_anew(
    store: Store, server: RedisServer, listener: Recorder
) -> None:
    """What could not be read meanwhile waits for that, though the feed heard everything."""
    await store.tail("a", 1)  # Else the feed is an ordinary client to Redis.
    listener.hearing.clear()
    server.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await until(lambda: listener.hearing)
    assert store.ready
    assert listener.hearing == [True]


async def test_the_feed_is_not_restored_before_the_log_can_be_read(
    store: Store, proxy: Proxy, listener: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.tail("a", 1)
    listener.hearing.clear()
    link = store._link  # type: ignore[attr-defined]
    commands_may = asyncio.Event()
    connect = link._prepare

    async def later(ask: Any) -> None:
        await commands_may.wait()
        await connect(ask)

    monkeypatch.setattr(link, "_prepare", later)
    proxy.cut()
    await until(lambda: listener.hearing)
    await until(lambda: link.feed.whole)
    assert listener.hearing == [False]
    commands_may.set()
    await until(lambda: store.ready)
    assert listener.hearing == [False, True]


async def test_who_waits_for_a_confirmation_when_the_feed_breaks_is_told(
    store: Store, proxy: Proxy
) -> None:
    proxy.passages[1].mute = True
    waiting = asyncio.ensure_future(store.tail("a", 1))
    await asyncio.sleep(0.05)
    proxy.passages[1].cut()
    with pytest.raises(StoreUnavailable, match="feed of Redis is disconnected"):
        await waiting


async def test_half_open_connections_are_found_by_a_ping(
    store: Store, proxy: Proxy, listener: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing arrives any more, and no end is told: only an answer that does not come tells."""
    await store.tail("a", 1)
    listener.hearing.clear()
    link = store._link  # type: ignore[attr-defined]
    # For as long as nothing is answered: then it takes what it takes.
    with monkeypatch.context() as hasty:
        for name in ("PING_SECONDS", "SILENCE_SECONDS", "COMMAND_SECONDS"):
            hasty.setattr(redis_link, name, 0.3)
        proxy.go_silent()
        await until(lambda: listener.hearing and link._commands is None)
    proxy.heal()
    await until(lambda: store.ready)
    [one] = await publish(store, item())
    assert offsets(await listener.heard(store, 1)) == [one.cursor.offset]


async def test_pings_of_a_feed_that_follows_nothing_are_answered_too(
    store: Store, server: RedisServer, listener: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_link, "PING_SECONDS", 0.02)
    monkeypatch.setattr(redis_link, "WATCH_SECONDS", 0.02)
    await until(lambda: server.calls("ping") >= 5)
    await store.tail("a", 1)
    before = server.calls("ping")
    await until(lambda: server.calls("ping") >= before + 5)
    assert listener.hearing == [True]


async def test_a_busy_feed_is_alive_though_its_pong_comes_late(
    proxy: Proxy, listener: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_link, "SILENCE_SECONDS", 0.3)
    wire = FeedWire(asyncio.get_running_loop(), lambda: None, cast("Feed", None))
    wire.pinged, wire.last_received = 10.0, 11.0
    assert wire.silent_for(11.2) == pytest.approx(0.2)
    wire.last_received = 9.0
    assert wire.silent_for(11.2) == pytest.approx(1.2)
