"""Idle channels in Redis: the walk of many nodes. What holds in every store is in
`test_contract.py`.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from pushhub.log.cursor import Cursor, Start
from pushhub.log.read import Gap, Page
from pushhub.store.base import Retention, StoreUnavailable, append
from pushhub.store.read_range import LEAST_FLOOR
from pushhub.store.redis import idle as redis_idle
from pushhub.store.redis.fence import Fence
from pushhub.store.redis.store import RedisStore
from pushhub.store.urls import open_store_url
from tests.redis_servers import KINDS, RedisServer, Shelf
from tests.store.labs import Clock, Recorder, item, opened, publish
from tests.waiting import until

if TYPE_CHECKING:
    from pushhub.store.base import Store

AGE = 100.0
KEEP = Retention(age=None)
WALK_SECONDS = 0.05


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest, redis_shelf: Shelf) -> RedisServer:
    return redis_shelf.server(request.param)


def node(server: RedisServer, clock: Clock, age: float | None = AGE) -> RedisStore:
    return RedisStore(server.url(), clock, idle_age=age, walk_seconds=WALK_SECONDS)


def channels(server: RedisServer) -> set[bytes]:
    """The channels that have metadata."""
    return {key[len("ph:m:{c") : -1] for key in server.ask("KEYS", "ph:m:{c*")}


async def page(store: Store, channel: str, since: Cursor | Start) -> Page:
    read = await store.read(channel, since, 100)
    assert isinstance(read, Page), read
    return read


async def test_a_node_without_the_setting_begins_above_the_mark(
    server: RedisServer, clock: Clock
) -> None:
    listener = Recorder()
    async with (
        opened(node(server, clock)) as walking,
        opened(node(server, clock, None), listener) as other,
    ):
        await other.tail("a", 5)
        [old, _] = await publish(other, item("1"), item("2"))
        clock.advance(AGE + 1)
        await until(lambda: "a" in listener.told)
        assert channels(server) == set()
        for store in (walking, other):
            assert isinstance(await store.read("a", old.cursor, 9), Gap)
        [back] = await publish(other, item("3"))
        assert back.cursor == Cursor(other.epoch, LEAST_FLOOR + 1)
        assert isinstance(await walking.read("a", old.cursor, 9), Gap)
        assert [event.data for event in (await page(walking, "a", Start.LAST)).events] == [b"3"]


async def test_all_keys_of_many_channels_go_in_slices(
    server: RedisServer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_idle, "SLICE_KEYS", 16)
    monkeypatch.setattr(redis_idle, "SLICE_CHANNELS", 7)
    monkeypatch.setattr(redis_idle, "SLICE_EVENTS", 20)
    monkeypatch.setattr(redis_idle, "SLICE_PAUSE", 0.001)
    async with opened(node(server, clock, None)) as store:
        names = [f"é}} {number}" for number in range(200)]
        await publish(store, *[item("x", name, KEEP) for name in names for _ in range(9)])
        server.ask("SET", "ph:m:other", "1")
        server.ask("HSET", "ph:m:{c\udcff}".encode(errors="surrogateescape"), "top", "1")
        # A key of the wrong type: its slice fails, and no other.
        server.ask("SET", "ph:s:{cbad}", "1")
        server.ask("HSET", "ph:m:{cbad}", "top", "1")
    clock.advance(AGE + 1)
    async with opened(node(server, clock)) as store:
        left = {b"bad", b"\xff"}
        await until(lambda: len(channels(server)) <= 2 + 7)
        server.ask("DEL", "ph:s:{cbad}")
        await until(lambda: channels(server) == left)
        assert server.ask("GET", "ph:m:other") == b"1"
        assert await store.count() == 0
        assert not server.ask("KEYS", "ph:s:*")
        # The channel without events counts from the first look on.
        await until(lambda: server.ask("HGET", "ph:m:{cbad}", "used"))
        clock.advance(AGE + 1)
        await until(lambda: channels(server) == {b"\xff"})


async def test_one_node_at_a_time_walks_and_the_next_goes_on(
    server: RedisServer, clock: Clock
) -> None:
    async with opened(node(server, clock, None)) as store:
        await publish(store, item())
    clock.advance(AGE + 1)
    ends = time.time() + 1
    server.ask("HSET", "ph:idle", "owner", "another", "until", str(int(ends * 1000)), "place", "0")
    async with opened(node(server, clock)), opened(node(server, clock)):
        await until(lambda: not channels(server))
        assert time.time() >= ends - 0.01
        # Between two walks the claim has no owner: whichever node comes first takes the next one.
        await until(lambda: server.ask("HGET", "ph:idle", "owner") == b"")
        place = server.ask("HGET", "ph:idle", "place")
        assert place == b"0"


async def test_a_walk_goes_on_where_another_node_left_it(server: RedisServer, clock: Clock) -> None:
    async with opened(node(server, clock, None)) as store:
        await publish(store, *[item("x", f"c{number}") for number in range(2000)])
    clock.advance(AGE + 1)
    place, _ = server.ask("SCAN", "0", "COUNT", "1500")
    assert place != b"0"
    server.ask("HSET", "ph:idle", "owner", "dead", "until", "1", "place", place)
    async with opened(node(server, clock)):
        await until(lambda: server.ask("HGET", "ph:idle", "place") == b"0")
        # What lies before that place is left for the next walk.
        assert 0 < len(channels(server)) < 1900


async def test_a_fence_keeps_idle_channels_and_the_mark_keeps_the_epoch(
    server: RedisServer, clock: Clock
) -> None:
    async with opened(node(server, clock)) as store:
        [old] = await publish(store, item())
        fence = Fence(server.url(), 60)
        await fence.set()
        clock.advance(AGE + 1)
        await asyncio.sleep(5 * WALK_SECONDS)
        assert channels(server) == {b"a"}
        assert await fence.lift()
        await fence.close()
        await until(lambda: not channels(server))
        [back] = await publish(store, item())
        assert back.cursor == Cursor(old.cursor.epoch, LEAST_FLOOR + 1)


async def test_a_full_redis_loses_idle_channels_and_takes_publishes_again(
    server: RedisServer, clock: Clock
) -> None:
    async with opened(node(server, clock, None)) as store:
        await publish(store, *[item("x" * 100_000, f"c{number}", KEEP) for number in range(40)])
    used = int(server.ask("INFO", "memory")["used_memory"])
    server.ask("CONFIG", "SET", "maxmemory", str(used - 500_000))
    try:
        async with opened(node(server, clock)) as store:
            [refused] = await append(store, item("x", "new"))
            assert isinstance(refused, StoreUnavailable)
            assert refused.reason == "oom"
            clock.advance(AGE + 1)
            await until(lambda: not channels(server))
            await publish(store, item("x", "new"))
    finally:
        server.ask("CONFIG", "SET", "maxmemory", "0")


async def test_a_deleted_channel_without_a_time_counts_from_the_first_look(
    server: RedisServer, clock: Clock
) -> None:
    async with opened(node(server, clock, None)) as store:
        await publish(store, item())
        await store.delete("a")
        assert server.ask("HGET", "ph:m:{ca}", "used") is None
    clock.advance(AGE + 1)
    async with opened(node(server, clock)):
        await until(lambda: server.ask("HGET", "ph:m:{ca}", "used"))
        assert channels(server) == {b"a"}
        clock.advance(AGE + 1)
        await until(lambda: not channels(server))


async def test_the_age_of_an_address_and_the_clock_of_redis(server: RedisServer) -> None:
    async with opened(open_store_url(server.url())) as store:
        await publish(store, item())
    idle_at = time.time() + 1.1
    await until(lambda: time.time() > idle_at)
    async with opened(open_store_url(server.url(), idle_age=1.0)):
        await until(lambda: not channels(server))
