"""What is special about the log in Redis."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pushhub.log.cursor import Cursor, Start
from pushhub.log.event import Draft, Event
from pushhub.log.read import Page
from pushhub.store.base import (
    IDEMPOTENCY_SECONDS,
    REGISTER,
    Append,
    Expect,
    Mismatch,
    Outcome,
    Retention,
    append,
)
from pushhub.store.redis import store as redis_store
from pushhub.store.redis.store import RedisStore
from tests.redis_servers import KINDS, RedisServer, Shelf
from tests.store.labs import Recorder, insist, item, opened, publish
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pushhub.store.base import Store

# Names that could be taken for a part of a key.
ODD_NAMES = ["a", "a}", "{a}", "}{", "a:m", "a}:k:x", "ca}", "é\U0001f600 %", "x" * 255, "}" * 255]


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest, redis_shelf: Shelf) -> RedisServer:
    return redis_shelf.server(request.param)


@pytest.fixture
def listener() -> Recorder:
    return Recorder()


@pytest.fixture
async def store(server: RedisServer, listener: Recorder) -> AsyncIterator[Store]:
    async with opened(RedisStore(server.url()), listener) as store:
        yield store


async def everything(store: Store, channel: str = "a") -> tuple[Event, ...]:
    read = await store.read(channel, Start.EARLIEST, 1000)
    assert isinstance(read, Page)
    return read.events


async def test_names_of_any_characters_are_told_apart(store: Store, listener: Recorder) -> None:
    for name in ODD_NAMES:
        await store.tail(name, 1)
    await publish(store, *[item(name, name) for name in ODD_NAMES])
    for name in ODD_NAMES:
        [event] = await everything(store, name)
        assert (event.channel, event.offset, event.data) == (name, 1, name.encode())
    told = await listener.heard(store, len(ODD_NAMES))
    assert [event.channel for event in told if isinstance(event, Event)] == ODD_NAMES
    listed = await store.channels("", "", 100)
    assert [info.channel for info in listed] == sorted(ODD_NAMES, key=str.encode)
    assert await store.delete("a}")
    assert len(await everything(store, "a")) == 1


@pytest.mark.parametrize(
    ("name", "key", "other", "other_key"),
    [("a", "x}:m", "a}:k:x", ""), ("a", "b}c", "a}b", "c"), ("a", "}b", "a}", "b")],
)
async def test_an_idempotency_key_is_no_other_key(
    store: Store, name: str, key: str, other: str, other_key: str
) -> None:
    outcomes = await publish(
        store, Append(name, Draft(b"1"), key=key), Append(other, Draft(b"2"), key=other_key)
    )
    assert [outcome.duplicate for outcome in outcomes] == [False, False]
    assert [event.data for event in await everything(store, other)] == [b"2"]


async def test_keys_of_a_channel_are_in_one_slot(store: Store, server: RedisServer) -> None:
    for name in ODD_NAMES:
        server.ask("FLUSHALL")
        await publish(store, Append(name, Draft(b""), key="k}{"))
        tags = set()
        for key in server.ask("KEYS", "ph:[msk]*"):
            # Redis' rule: what is between the first { and the first } after it, unless empty.
            tag = key.split(b"{", 1)[1].split(b"}", 1)[0]
            assert tag
            tags.add(tag)
        assert len(tags) == 1


async def test_databases_have_nothing_in_common(server: RedisServer) -> None:
    """Redis' pub/sub knows no databases."""
    one, two = Recorder(), Recorder()
    async with (
        opened(RedisStore(server.url(1)), one) as first,
        opened(RedisStore(server.url(2)), two) as second,
    ):
        for store in (first, second):
            await store.tail("a", 1)
        await publish(first, item("1"))
        await first.delete("a")
        await publish(second, item("2"))
        told = await two.heard(second, 1)
        assert [event.data for event in told if isinstance(event, Event)] == [b"2"]
        assert len(await one.heard(first, 2)) == 2
        assert len(two.told) == 1


async def test_an_idempotency_key_goes_by_itself(store: Store, server: RedisServer) -> None:
    await publish(store, Append("a", Draft(b""), key="k"))
    lives = {key: server.ask("PTTL", key) for key in server.ask("KEYS", "*")}
    [used] = [left for key, left in lives.items() if key.startswith(b"ph:k")]
    assert 0 < used <= IDEMPOTENCY_SECONDS * 1000
    assert [left for left in lives.values() if left != -1] == [used]


async def test_a_channel_of_pushhubs_own_goes_by_itself(store: Store, server: RedisServer) -> None:
    def lives() -> list[int]:
        return [int(server.ask("PTTL", key)) for key in server.ask("KEYS", "ph:s*")]

    await publish(store, item(channel="a", retention=Retention(age=60)))
    assert lives() == [-1]
    await store.delete("a")
    await publish(store, item(channel="$own", retention=Retention(events=1, age=60)))
    [left] = lives()
    assert 0 < left <= 60_000
    await publish(store, item(channel="$own", retention=REGISTER))
    assert lives() == [-1]


async def test_time_is_the_servers(store: Store, server: RedisServer) -> None:
    def now() -> int:
        seconds, microseconds = map(int, server.ask("TIME"))
        return seconds * 1000 + microseconds // 1000

    before = now()
    await publish(store, item())
    [event] = await everything(store)
    assert before <= event.time <= now()


async def test_aged_events_are_not_shown_and_go_with_the_next_append(server: RedisServer) -> None:
    now = 1_800_000_000.0
    keep = Retention(events=1000, age=60)
    async with opened(RedisStore(server.url(), lambda: now)) as store:
        # More than one round of the script's.
        await publish(store, *[item(str(number), retention=keep) for number in range(180)])
        now += 50
        await publish(store, item("new", retention=keep))
        now += 11
        assert [event.offset for event in await everything(store)] == [181]
        [stream] = server.ask("KEYS", "ph:s*")
        assert server.ask("XLEN", stream) == 181
        await publish(store, item("newer", retention=keep))
        assert server.ask("XLEN", stream) == 2
        assert [event.offset for event in await everything(store)] == [181, 182]


async def test_two_nodes_append_to_one_order(server: RedisServer) -> None:
    keep = Retention(events=100_000)
    one, two = Recorder(), Recorder()
    async with (
        opened(RedisStore(server.url()), one) as first,
        opened(RedisStore(server.url()), two) as second,
    ):
        for store in (first, second):
            await store.tail("a", 1)
        work = [append(s, item("x", retention=keep)) for _ in range(1500) for s in (first, second)]
        outcomes = [insist(outcome) for [outcome] in await asyncio.gather(*work)]
        assert sorted(outcome.cursor.offset for outcome in outcomes) == list(range(1, 3001))
        # What one connection sent first comes first.
        for node in (outcomes[::2], outcomes[1::2]):
            assert [o.cursor.offset for o in node] == sorted(o.cursor.offset for o in node)
        for store, listener in ((first, one), (second, two)):
            told = await listener.heard(store, 3000)
            assert [e.offset for e in told if isinstance(e, Event)] == list(range(1, 3001))


async def test_a_reply_of_more_than_a_mebibyte(store: Store) -> None:
    """What Redis sends is longer than what counts, and comes in many pieces."""
    size = 1024 * 1024 // 1000 - 250  # What an event counts for, beside its data.
    await publish(store, *[item("x" * size) for _ in range(1000)])
    assert [len(event.data) for event in await everything(store)] == [size] * 1000
    tail = await store.tail("a", 1000)
    assert isinstance(tail, Page)
    assert [event.offset for event in tail.events] == list(range(1, 1001))


async def test_an_answer_ends_before_a_mebibyte(store: Store) -> None:
    sizes = [1000, 200_000, 200_000, 262_144, 262_144, 262_144]
    await publish(store, *[item("x" * size) for size in sizes])
    read = await store.read("a", Cursor(store.epoch, 0), 1000)
    assert isinstance(read, Page)
    assert ([event.offset for event in read.events], read.up_to_date) == ([1, 2, 3, 4, 5], False)
    tail = await store.tail("a", 1000)
    assert isinstance(tail, Page)
    assert [event.offset for event in tail.events] == [3, 4, 5, 6]


async def test_more_appends_than_redis_takes_are_refused(
    redis_shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_store, "MAX_PENDING", 10)
    server = redis_shelf.server("valkey9")
    async with opened(RedisStore(server.url())) as store:
        settled: list[Outcome] = []
        for number in range(15):
            store.append([item(str(number))], settled.extend)
        assert [str(outcome) for outcome in settled] == [
            "More than 10 publishes wait for Redis; try again."
        ] * 5
        assert len(await everything(store)) == 10  # Reads are not.
        await until(lambda: len(settled) == 15)
        await publish(store, *[item()] * 10)


async def test_a_condition_of_many_cursors(store: Store) -> None:
    [one] = await publish(store, item())
    near = {Cursor(one.cursor.epoch, 11), Cursor("x" + one.cursor.epoch, 1)}
    [outcome] = await append(store, replace(item(), expect=Expect(frozenset(near))))
    assert outcome == Mismatch(one.cursor)
    await publish(store, replace(item(), expect=Expect(frozenset({*near, one.cursor}))))
