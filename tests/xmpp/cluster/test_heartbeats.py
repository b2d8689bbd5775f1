"""A node decides by its own monotonic clock whether another node is alive: steps of wall clocks
change nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from pushhub.log.cursor import Cursor
from pushhub.store.base import StoreUnavailable
from pushhub.xmpp.cluster import gc
from pushhub.xmpp.cluster.heartbeats import Heartbeats
from pushhub.xmpp.cluster.membership import (
    DEAD_SECONDS,
    HEARTBEAT_SECONDS,
    NODES,
    heartbeat_key,
    inbox_channel,
)
from pushhub.xmpp.storage.key_value import KeyValueStore
from tests.store.labs import Clock, make_lab
from tests.waiting import NEWS_SECONDS
from tests.xmpp.browser import Browser
from tests.xmpp.routing.test_vanished import AVAILABLE
from tests.xmpp.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path
    from typing import Any

    from pushhub.xmpp.server import XmppServer
    from tests import redis_servers

HOUR = 3600.0


def test_silence_counts_from_a_change() -> None:
    beats = Heartbeats()
    assert beats.silence("one") is None
    beats.advance(100)
    beats.record("one", Cursor("e", 7), is_last=False)
    assert beats.silence("one") == 0, "the age of an older heartbeat is unknown"
    beats.advance(5)
    beats.record("one", Cursor("e", 7), is_last=False)
    assert beats.silence("one") == 5
    beats.record("one", Cursor("e", 8), is_last=False)
    assert beats.silence("one") == 0
    beats.advance(5)
    beats.record("one", Cursor("e", 7), is_last=False)
    assert beats.silence("one") == 5, "the news of the eighth is late"
    beats.record("one", Cursor("f", 8), is_last=True)
    assert (beats.silence("one"), beats.has_left("one")) == (0, True)
    assert not beats.has_left("other")
    assert beats.nodes() == {"one"}
    beats.forget("one")
    assert len(beats) == 0
    assert not beats.has_left("one")


@pytest.fixture
async def pair(tmp_path: Path, redis_shelf: redis_servers.Shelf) -> AsyncIterator[World]:
    """Two nodes whose rounds the test runs. The store's clock is `world.clock`."""
    clock = Clock()
    world = World(make_lab("valkey9", tmp_path, clock, redis_shelf.url).make, shared=True)
    world.clock = clock
    for _ in range(2):
        server = await world.node()
        assert server.membership._timer is not None
        server.membership._timer.cancel()
    for name in ("romeo", "juliet"):
        await world.account(name)
    # Each node knows the other.
    await rounds(world, world.servers)
    yield world
    await world.close()


async def rounds(
    world: World, servers: list[XmppServer], times: int = 1, seconds: float = HEARTBEAT_SECONDS
) -> None:
    """Advance the time, and run the rounds of these nodes, `seconds` apart."""
    for _ in range(times):
        world.clock.advance(seconds)
        for server in servers:
            now = server.hub.now() + seconds
            server.hub.now = lambda now=now: now  # type: ignore[misc]
            await server.membership._watch()


async def come(server: XmppServer, other: XmppServer) -> None:
    """Wait until a node's last heartbeat has reached another node."""
    name = heartbeat_key(other.membership.id)
    stored = await server.kv.stored(name)
    assert stored is not None
    async with asyncio.timeout(NEWS_SECONDS):
        while await server.kv.event(name) != stored:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("step", [HOUR, -HOUR], ids=["forward", "back"])
async def test_a_live_node_stays_alive_after_a_step_of_the_clock(pair: World, step: float) -> None:
    browser = await Browser.login(pair, "juliet", node=0)
    first, second = pair.servers
    pair.clock.advance(step)
    # The first node has not written a heartbeat since.
    await second.kv.set(heartbeat_key(second.membership.id), b"here")
    assert await second.membership.is_alive(first.membership.id)
    answers = await browser.ask(AVAILABLE, node=1)
    assert "iq" in [element.name for element in answers], "its session is found"
    for _ in range(6):
        await rounds(pair, pair.servers)
        await come(second, first)
        assert await second.membership.is_alive(first.membership.id)


@pytest.mark.parametrize("step", [0.0, HOUR, -HOUR], ids=["none", "forward", "back"])
async def test_a_dead_node_is_dead_after_a_step_of_the_clock(
    pair: World, step: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dead node's session ends in time, and its data is deleted."""
    first, second = pair.servers
    browser = await Browser.login(pair, "juliet", node=0)
    await first.membership.post(first.membership.id, "of a newer version", {})
    pair.clock.advance(step)
    await come(second, first)
    await rounds(pair, [second], 3)
    assert await second.membership.is_alive(first.membership.id), "three heartbeats may get lost"
    await rounds(pair, [second], 2)
    assert not await second.membership.is_alive(first.membership.id)
    answer = await browser.post("", node=1)
    assert answer.get("condition") == "item-not-found"
    clear, forget = pair.servers[1].gc, int(gc.FORGET_SECONDS / HEARTBEAT_SECONDS)
    left = [name(first.membership.id) for name in (heartbeat_key, inbox_channel)]
    await clear.run()
    kept = [await second.kv.stored(name) is not None for name in left]
    assert kept == [True, step <= 0], "messages age by the store's clock, heartbeats do not"
    # One more than needed: sums of these times are inexact.
    await rounds(pair, [second], forget - 4)
    await clear.run()
    assert [await second.kv.stored(name) for name in left] == [None, None]
    assert await second.kv.stored_json(NODES) == [second.membership.id]
    # A deleted heartbeat does not count as a heartbeat, and is forgotten here, too.
    async with asyncio.timeout(NEWS_SECONDS):
        while len(second.membership._heartbeats):
            await rounds(pair, [second])
            assert not await second.membership.is_alive(first.membership.id)


async def test_a_node_that_stood_still_does_not_consider_others_dead(pair: World) -> None:
    first, second = pair.servers
    membership, node = second.membership, first.membership.id
    await rounds(pair, [second], 3)
    await rounds(pair, [second], seconds=HOUR)
    assert not await membership.is_alive(node, 4 * HEARTBEAT_SECONDS)
    assert await membership.is_alive(node, 5 * HEARTBEAT_SECONDS), "an hour counts as a round"


async def test_an_outage_of_the_store_proves_nothing(
    pair: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = pair.servers

    async def fails(self: KeyValueStore, *args: Any) -> Any:
        raise StoreUnavailable("The store has just gone.")

    with monkeypatch.context() as outage:
        outage.setattr(KeyValueStore, "set", fails)
        for _ in range(10):
            with pytest.raises(StoreUnavailable):
                await rounds(pair, [second])
    await rounds(pair, [second])
    assert await second.membership.is_alive(first.membership.id)


async def test_a_store_that_has_lost_the_heartbeats(pair: World) -> None:
    """Known nodes are trusted, and list themselves again."""
    first, second = pair.servers
    for name in (NODES, heartbeat_key(first.membership.id), heartbeat_key(second.membership.id)):
        await second.kv.delete(name)
    async with asyncio.timeout(NEWS_SECONDS):
        while await second.kv.event(heartbeat_key(first.membership.id)) is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert await second.membership.is_alive(first.membership.id)
    await rounds(pair, pair.servers)
    assert await second.kv.stored_json(NODES) == [first.membership.id, second.membership.id]


async def test_rounds_do_not_pile_up(pair: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the store is slow, one round waits for it."""
    membership, may = pair.server.membership, asyncio.Event()
    begun: list[str] = []
    setting = KeyValueStore.set

    async def slow(self: KeyValueStore, name: str, *args: Any) -> Any:
        begun.append(name)
        await may.wait()
        return await setting(self, name, *args)

    monkeypatch.setattr(KeyValueStore, "set", slow)
    for _ in range(3):
        membership._beat()
        assert membership._timer is not None
        membership._timer.cancel()
        await asyncio.sleep(0)
    may.set()
    await pair.server.settle()
    assert begun == [heartbeat_key(membership.id)]


async def test_unknown_nodes_named_by_clients_are_not_remembered(pair: World) -> None:
    membership = pair.server.membership
    known = len(membership._heartbeats)
    for number in range(10):
        assert not await membership.is_alive(f"aaaaaaa{'abcdefghij'[number]}")
    assert len(membership._heartbeats) == known


def test_a_node_is_missed_after_some_rounds() -> None:
    assert DEAD_SECONDS >= 4 * HEARTBEAT_SECONDS
