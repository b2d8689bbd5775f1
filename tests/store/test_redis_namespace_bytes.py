"""What only Redis has of the retained bytes of a namespace: nodes with other settings or an older
version, lost keys, and the slices of the walk. What holds in every store is in
`test_namespace_bytes.py`.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from pushhub.log.cursor import Start
from pushhub.log.event import Draft
from pushhub.log.read import Page
from pushhub.store.base import Append, NamespaceFull, Retention, append
from pushhub.store.redis import namespace_walk
from pushhub.store.redis.store import RedisStore
from tests.redis_servers import KINDS, RedisServer, Shelf
from tests.store.labs import Clock, opened, publish
from tests.store.test_namespace_bytes import counted, event

if TYPE_CHECKING:
    from pushhub.store.base import Store

pytestmark = pytest.mark.slow

WALK_SECONDS = 0.05
COUNT = "ph:b:news"


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest, redis_shelf: Shelf) -> RedisServer:
    return redis_shelf.server(request.param)


def node(server: RedisServer, clock: Clock, walk_seconds: float = WALK_SECONDS) -> RedisStore:
    return RedisStore(server.url(), clock, walk_seconds=walk_seconds)


async def test_what_others_remove_is_counted_again(server: RedisServer, clock: Clock) -> None:
    """An older pushhub deletes and trims without a count, and Redis may evict keys."""
    async with opened(node(server, clock)) as store:
        await publish(store, *[event(f"news:{n}", 100_000) for n in range(8) for _ in range(3)])
        await counted(store, 24_000)
        # A delete as of an older version.
        server.ask("DEL", "ph:s:{cnews:0}")
        server.ask("ZREM", "ph:names", "news:0")
        await counted(store, 21_000)
        # A channel that goes with its metadata.
        server.ask("DEL", "ph:s:{cnews:1}", "ph:m:{cnews:1}")
        server.ask("ZREM", "ph:names", "news:1")
        await counted(store, 18_000)
        # A trim as of an older version.
        server.ask("XTRIM", "ph:s:{cnews:2}", "MAXLEN", 1)
        await counted(store, 16_000)
        # A lost count.
        server.ask("DEL", COUNT)
        await counted(store, 16_000)
        server.ask("DEL", "ph:m:{cnews:3}")
        await publish(store, event("news:3", 100_000), event("news:0", 100_000))
        await counted(store, 18_000)


async def test_a_node_without_the_limit(server: RedisServer, clock: Clock) -> None:
    async with opened(node(server, clock)) as one, opened(node(server, clock)) as other:
        await publish(one, event(limit=9000), event("news:b", 9000, 2))
        await publish(other, event(limit=None), *[event("news:b", None, 2) for _ in range(5)])
        await counted(one, 4000)
        await publish(one, event(limit=9000), event("news:b", 9000, 1))
        await counted(one, 4000)
        await other.delete("news:a")
        await counted(one, 1000)


async def test_the_walk_is_cut_into_slices(
    server: RedisServer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, number in (("SLICE_CHANNELS", 3), ("SLICE_EVENTS", 7), ("SLICE_PAUSE", 0.0)):
        monkeypatch.setattr(namespace_walk, name, number)
    monkeypatch.setattr(namespace_walk, "MAX_RESPONSE_BYTES", 5000)
    async with opened(node(server, clock)) as store:
        before = [event(f"news:{n % 10}", None, age=60) for n in range(200)]
        await publish(store, *before, event("newsroom:a", None), event("news", None))
        await counted(store, 200_000)
        clock.advance(61)
        await counted(store, 10_000)
        for number in range(10):
            read = await store.read(f"news:{number}", Start.EARLIEST, 9)
            assert isinstance(read, Page)
            assert [found.offset for found in read.events] == [20]


@pytest.mark.parametrize("seed", range(3))
async def test_a_walk_beside_publishes_ends_with_the_right_sum(
    server: RedisServer, clock: Clock, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Nodes publish, trim and delete while the walk is somewhere in the namespace."""
    monkeypatch.setattr(namespace_walk, "SLICE_CHANNELS", 2)
    monkeypatch.setattr(namespace_walk, "SLICE_EVENTS", 5)
    monkeypatch.setattr(namespace_walk, "SLICE_PAUSE", 0.001)
    chance = random.Random(seed)
    sizes = 0
    async with AsyncExitStack() as stack:
        stores: list[Store] = [
            await stack.enter_async_context(opened(node(server, clock, 0.0))) for _ in range(2)
        ]

        async def work(store: Store, number: int) -> None:
            for _ in range(60):
                name = f"news:{chance.randrange(12)}"
                if chance.randrange(6) == 0:
                    await store.delete(name)
                else:
                    size = chance.randrange(200, 3000)
                    limited = event(name, 1_000_000, chance.choice([1, 4, 50]), size=size)
                    await publish(store, *[limited] * chance.randrange(1, 5))

        await asyncio.gather(*(work(store, n) for n in range(3) for store in stores))
        for number in range(12):
            read = await stores[0].read(f"news:{number}", Start.EARLIEST, 1000)
            assert isinstance(read, Page)
            sizes += sum(len(found.data) + len("text/plain") + 100 for found in read.events)
        # Immediately, and after more walks.
        assert await stores[0].retained("news") == sizes
        for _ in range(20):
            await asyncio.sleep(WALK_SECONDS / 5)
            assert await stores[1].retained("news") == sizes


async def test_a_dead_node_leaves_its_walk_to_another(server: RedisServer, clock: Clock) -> None:
    server.ask("HSET", COUNT, "owner", "dead", "until", 0, "place", "news:3", "sum", 70)
    async with opened(node(server, clock)) as store:
        await publish(store, *[event(f"news:{n}", 100_000) for n in range(8)])
        await counted(store, 8000)


async def test_the_limit_holds_while_others_walk(server: RedisServer, clock: Clock) -> None:
    """A claim that another node holds for long changes nothing about appends."""
    server.ask("HSET", COUNT, "owner", "other", "until", 9_000_000_000_000_000)
    async with opened(node(server, clock)) as store:
        await publish(store, *[event() for _ in range(3)])
        (refused,) = await append(store, event())
        assert isinstance(refused, NamespaceFull)
        await store.delete("news:a")
        await publish(store, event())


async def test_names_with_any_characters(server: RedisServer, clock: Clock) -> None:
    async with opened(node(server, clock)) as store:
        for name in ("ü{x}:a", "ü{x}:}b", "ü{x}:\U0001f600", "ü{x}:zz"):
            await publish(store, Append(name, Draft(b"12345"), Retention(namespace_bytes=100_000)))
        size = await store.retained("ü{x}")
        server.ask("DEL", "ph:b:ü{x}")
        await counted(store, size, "ü{x}")
