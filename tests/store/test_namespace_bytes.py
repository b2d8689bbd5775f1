"""The limit on the bytes that a namespace retains, in each store."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from pushhub.log.cursor import Start
from pushhub.log.event import Draft
from pushhub.log.read import Page
from pushhub.store.base import (
    NO_VALUE,
    Append,
    Appended,
    Mismatch,
    NamespaceFull,
    Retention,
    append,
)
from pushhub.store.namespace_bytes import EVENT_OVERHEAD, SWEEP_SECONDS, draft_bytes
from pushhub.store.redis.store import RedisStore
from tests.store.labs import SWEEP_SECONDS as LAB_SWEEP_SECONDS
from tests.store.labs import Clock, Lab, Recorder, opened, publish

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pushhub.store.base import Outcome, Store

# With an idle age the lab sweeps SQLite's file all the time.
NEVER = 1e9
TEXT = "text/plain"
# An event of 1,000 bytes as they are counted.
DATA = b"x" * (1000 - EVENT_OVERHEAD - len(TEXT))


@pytest.fixture
async def store(lab: Lab, listener: Recorder) -> AsyncIterator[Store]:
    async with opened(lab.make(NEVER), listener) as store:
        yield store


def event(
    channel: str = "news:a",
    limit: int | None = 3000,
    events: int = 1000,
    age: float | None = None,
    size: int = 1000,
) -> Append:
    data = b"x" * (size - EVENT_OVERHEAD - len(TEXT))
    return Append(channel, Draft(data, TEXT), Retention(events, age, limit))


async def attempt(store: Store, an_append: Append) -> Outcome:
    (outcome,) = await append(store, an_append)
    return outcome


async def counted(store: Store, expected: int, namespace: str = "news") -> None:
    """Wait until a namespace retains so many bytes."""
    async with asyncio.timeout(20):
        while await store.retained(namespace) != expected:  # noqa: ASYNC110
            await asyncio.sleep(LAB_SWEEP_SECONDS)


async def room(store: Store, an_append: Append) -> None:
    """Publish until there is room."""
    async with asyncio.timeout(20):
        while not isinstance(await attempt(store, an_append), Appended):  # noqa: ASYNC110
            await asyncio.sleep(LAB_SWEEP_SECONDS)


async def test_an_event_beyond_the_limit_is_refused_and_nothing_is_lost(
    store: Store, listener: Recorder
) -> None:
    for name in "abcd":
        await store.tail(f"news:{name}", 1)
    await publish(store, event("news:a"), event("news:b"), event("news:c"))
    assert await store.retained("news") == 3000
    refused = await attempt(store, event("news:d", size=200))
    assert isinstance(refused, NamespaceFull)
    assert (refused.namespace, refused.limit, refused.reason) == ("news", 3000, "namespace-full")
    assert isinstance(await attempt(store, event("news:a", size=200)), NamespaceFull)
    # Nothing was written, and the channel does not exist.
    assert await store.retained("news") == 3000
    assert [info.channel for info in await store.channels("news:", "", 9)] == [
        "news:a",
        "news:b",
        "news:c",
    ]
    for name in "abc":
        read = await store.read(f"news:{name}", Start.EARLIEST, 9)
        assert isinstance(read, Page)
        assert [found.offset for found in read.events] == [1]
    assert len(await listener.heard(store, 3)) == 3
    # The offset of the refused event is the next one's.
    await store.delete("news:b")
    (later,) = await publish(store, event("news:a"))
    assert later.cursor.offset == 2


async def test_other_namespaces_have_room(store: Store) -> None:
    await publish(store, *[event() for _ in range(3)])
    for name in ("news", "newsroom:a", "new:a", "other:a", "$news:a"):
        await publish(store, event(name, None))
    await publish(store, *[event("weather:a") for _ in range(3)])
    assert isinstance(await attempt(store, event("weather:a")), NamespaceFull)
    assert await store.retained("news") == 3000
    assert await store.retained("weather") == 3000


async def test_a_limit_of_exactly_the_size_has_room(store: Store) -> None:
    assert isinstance(await attempt(store, event(limit=999)), NamespaceFull)
    await publish(store, event(limit=1000))


async def test_all_that_an_event_has_counts(store: Store) -> None:
    draft = Draft("ü".encode(), TEXT, "typü", "id1")
    await publish(store, Append("news:a", draft, Retention(namespace_bytes=10_000)))
    assert draft_bytes(draft) == EVENT_OVERHEAD + 2 + len(TEXT) + 5 + 3
    assert await store.retained("news") == draft_bytes(draft)
    # An id that the store gives costs nothing, and is not given back.
    await publish(store, *[event(events=1, size=200, limit=10_000) for _ in range(3)])
    assert await store.retained("news") == 200
    await store.delete("news:a")
    assert await store.retained("news") == 0


async def test_a_channel_that_is_trimmed_goes_on(store: Store) -> None:
    for _ in range(10):
        await publish(store, event(events=3))
        assert await store.retained("news") <= 3000
    assert await store.retained("news") == 3000
    assert isinstance(await attempt(store, event("news:b", events=3)), NamespaceFull)
    # A smaller retention makes room.
    await publish(store, event(events=1, size=1500))
    assert await store.retained("news") == 1500
    await publish(store, event("news:b"))


async def test_a_value_is_replaced_after_the_limit_became_smaller(store: Store) -> None:
    await publish(store, event(events=1), event("news:b", events=1))
    assert isinstance(await attempt(store, event("news:c", 500, events=1)), NamespaceFull)
    await publish(store, event(limit=500, events=1), event(limit=500, events=1, size=900))
    assert isinstance(await attempt(store, event(limit=500, events=1)), NamespaceFull)
    assert await store.retained("news") == 1900


async def test_a_deleted_channel_makes_room(store: Store) -> None:
    await publish(store, event(), event(), event("news:b"))
    await store.delete("news:a")
    assert await store.retained("news") == 1000
    await publish(store, event(), event("news:c"))
    assert isinstance(await attempt(store, event("news:c")), NamespaceFull)
    await store.delete("news:a")
    await publish(store, event())


async def test_aged_events_make_room(store: Store, clock: Clock) -> None:
    """Those of a channel that nothing is published to any more, too; its last event stays."""
    await publish(store, event("news:b", age=60), event("news:b", age=60), event(age=60))
    assert isinstance(await attempt(store, event("news:c", age=60)), NamespaceFull)
    clock.advance(61 + SWEEP_SECONDS)
    await room(store, event("news:c", age=60))
    await counted(store, 3000)
    assert isinstance(await attempt(store, event("news:c", age=60)), NamespaceFull)


async def test_an_append_counts_the_aged_events_that_it_removes(store: Store, clock: Clock) -> None:
    await publish(store, *[event(age=60) for _ in range(3)])
    clock.advance(61 + SWEEP_SECONDS)
    await room(store, event(age=60))
    await counted(store, 1000)


async def test_an_age_that_becomes_longer_frees_what_is_gone(store: Store, clock: Clock) -> None:
    await publish(store, *[event(age=60) for _ in range(3)])
    clock.advance(61)
    await room(store, event(age=600))
    # The last of before was a value, and has the longer age now.
    await counted(store, 2000)


async def test_an_idle_channel_makes_room(lab: Lab, clock: Clock) -> None:
    async with opened(lab.make(100.0)) as store:
        await publish(store, event(), event(), event("news:b"))
        clock.advance(101)
        await room(store, event("news:c"))
        await counted(store, 1000)


async def test_a_duplicate_and_a_mismatch_count_nothing(store: Store) -> None:
    first = event(size=3000)
    keyed = Append(first.channel, first.draft, first.retention, key="k")
    await publish(store, keyed)
    again = await attempt(store, keyed)
    assert isinstance(again, Appended)
    assert again.duplicate
    present = Append(first.channel, first.draft, first.retention, NO_VALUE)
    assert isinstance(await attempt(store, present), Mismatch)
    assert await store.retained("news") == 3000


async def test_a_limit_that_comes_later_counts_what_is_there(store: Store) -> None:
    await publish(store, *[event(f"news:{n % 100}", None) for n in range(300)])
    await counted(store, 300_000)
    assert isinstance(await attempt(store, event("news:0")), NamespaceFull)
    # Publishes without a limit, as of a node that has other settings, are counted as well.
    await publish(store, event("news:0", None), event("news:new", None))
    await counted(store, 302_000)
    await publish(store, event("news:0", None, events=1))
    await counted(store, 299_000)


async def test_the_count_survives_a_restart(lab: Lab) -> None:
    if not lab.keeps_epoch:
        pytest.skip("The memory store begins empty.")
    async with opened(lab.make(NEVER)) as store:
        await publish(store, event(), event("news:b"), event("news:b", size=500))
    async with opened(lab.make(NEVER)) as store:
        assert await store.retained("news") == 2500
        assert isinstance(await attempt(store, event()), NamespaceFull)
        await publish(store, event(size=500))
        assert isinstance(await attempt(store, event(size=200)), NamespaceFull)


async def test_concurrent_publishes_do_not_pass_the_limit(lab: Lab) -> None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(opened(lab.make(NEVER)))
        second = first
        if isinstance(first, RedisStore):
            second = await stack.enter_async_context(opened(lab.make(NEVER)))
        outcomes = await asyncio.gather(
            *(
                attempt(store, event(f"news:{n % 7}", 20_000))
                for n in range(50)
                for store in (first, second)
            )
        )
        assert sum(isinstance(outcome, Appended) for outcome in outcomes) == 20
        assert sum(isinstance(outcome, NamespaceFull) for outcome in outcomes) == 80
        assert await second.retained("news") == 20_000


@pytest.mark.parametrize("seed", range(3))
async def test_the_count_is_that_of_the_events_in_any_order(
    store: Store, clock: Clock, seed: int
) -> None:
    """A model: after random appends, deletes and ages the count is the sum of what is kept."""
    chance = random.Random(seed)
    full = 0
    for _ in range(60):
        name = f"news:{chance.randrange(5)}"
        match chance.randrange(10):
            case 0:
                await store.delete(name)
            case 1:
                clock.advance(chance.choice([10, 70]))
            case _:
                appends = [
                    event(
                        name,
                        8000,
                        chance.choice([1, 3, 1000]),
                        chance.choice([None, 60]),
                        chance.randrange(200, 2000),
                    )
                    for _ in range(chance.randrange(1, 4))
                ]
                full += sum(isinstance(o, NamespaceFull) for o in await append(store, *appends))
    assert full > 3
    clock.advance(61 + SWEEP_SECONDS)

    async def kept() -> int:
        size = 0
        for number in range(5):
            read = await store.read(f"news:{number}", Start.EARLIEST, 1000)
            assert isinstance(read, Page)
            size += sum(len(e.data) + len(TEXT) + EVENT_OVERHEAD for e in read.events)
        return size

    # In memory an aged event goes when its channel is read.
    expected = await kept()
    await counted(store, expected)
