"""Whatever Redis loses shows in the epoch; and nothing else does."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
import redis

from pushhub.log.cursor import Cursor, Start
from pushhub.log.event import Draft
from pushhub.log.read import Gap, Page, Reason
from pushhub.store.base import Append, Retention, StoreUnavailable, append
from pushhub.store.redis.store import RedisStore
from tests.redis_servers import KINDS, Kind, Rack, RedisServer, Shelf
from tests.store.labs import Recorder, item, opened, publish
from tests.waiting import until

if TYPE_CHECKING:
    from pushhub.store.base import Store


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


def at(server: RedisServer) -> RedisStore:
    return RedisStore(server.url())


async def reason(store: Store, cursor: Cursor) -> Reason | None:
    """Why reading on from a cursor is a gap, or None."""
    read = await store.read("a", cursor, 10)
    return read.reason if isinstance(read, Gap) else None


def cut_off(replica: RedisServer) -> None:
    """The replica receives nothing of its master any more."""
    replica.ask("REPLICAOF", "127.0.0.1", "1")


def pair(rack: Rack, kind: Kind, **options: Any) -> tuple[RedisServer, RedisServer]:
    """A master and a replica that has all it has."""
    master = rack.start(kind, **options)
    replica = rack.start(kind, **options)
    replica.follow(master)
    replica.until(lambda: replica.caught_up_with(master))
    return master, replica


# -- what loses events, or may -------------------------------------------------


@pytest.mark.parametrize("appendonly", ["yes", "no"])
async def test_a_crash_changes_it(kind: Kind, rack: Rack, appendonly: str) -> None:
    server = rack.start(kind, appendonly=appendonly, appendfsync="always")
    listener = Recorder()
    async with opened(at(server), listener) as store:
        [_, two] = await publish(store, item("1"), item("2"))
        listener.hearing.clear()
        server.restart()
        await until(lambda: listener.hearing and store.ready)
        assert listener.hearing[0] is False
        assert store.epoch != two.cursor.epoch
        # Before anybody publishes, and for who has read everything.
        assert await reason(store, two.cursor) is Reason.EPOCH
        [next_] = await publish(store, item("3"))
        assert next_.cursor == Cursor(store.epoch, 3 if appendonly == "yes" else 1)
        assert await reason(store, two.cursor) is Reason.EPOCH
        assert await reason(store, Cursor(store.epoch, next_.cursor.offset)) is None


async def test_a_clean_restart_changes_it(kind: Kind, rack: Rack) -> None:
    """The server writes its replication id to its dump, and remembers it only as the second one."""
    server, _ = pair(rack, kind)
    async with opened(at(server)) as store:
        [one] = await publish(store, item("1"))
    with contextlib.suppress(redis.ConnectionError):
        server.ask("SHUTDOWN", "SAVE")
    server.restart()
    async with opened(at(server)) as store:
        assert await reason(store, one.cursor) is Reason.EPOCH
        [two] = await publish(store, item("2"))
        assert two.cursor == Cursor(store.epoch, 2)


@pytest.mark.parametrize("first", ["read", "publish"])
async def test_a_flush_changes_it(kind: Kind, rack: Rack, first: str) -> None:
    server = rack.start(kind)
    async with opened(at(server)) as store:
        epochs = set()
        for _ in range(3):
            [one] = await publish(store, item())
            assert one.cursor.offset == 1
            epochs.add(one.cursor.epoch)
            server.ask("FLUSHALL")
            if first == "read":
                assert await reason(store, one.cursor) is Reason.EPOCH
        assert len(epochs) == 3


async def test_a_promoted_replica_that_misses_acknowledged_events_tells_a_gap(
    kind: Kind, rack: Rack
) -> None:
    """An epoch that is only data survives this: offsets 4 and 5 are used twice, unnoticed."""
    master, replica = pair(rack, kind)
    async with opened(at(master)) as store:
        three = (await publish(store, item("1"), item("2"), item("3")))[-1].cursor
        replica.until(lambda: replica.caught_up_with(master))
        cut_off(replica)
        five = (await publish(store, item("old4"), item("old5")))[-1].cursor
    master.kill()
    replica.follow(None)
    async with opened(at(replica)) as store:
        for cursor in (three, five):
            assert await reason(store, cursor) is Reason.EPOCH
        new = await publish(store, item("new4"), item("new5"), item("new6"))
        assert [outcome.cursor.offset for outcome in new] == [4, 5, 6]
        for cursor in (three, five):
            assert await reason(store, cursor) is Reason.EPOCH
        assert {outcome.cursor.epoch for outcome in new}.isdisjoint({five.epoch})


async def test_back_to_the_old_master_by_partial_resync(kind: Kind, rack: Rack) -> None:
    """A, then B, then A again: the same process as at first, and nearly the same data."""
    a, b = pair(rack, kind)
    async with opened(at(a)) as store:
        two = (await publish(store, item("1"), item("2")))[-1].cursor
    b.until(lambda: b.caught_up_with(a))
    b.follow(None)
    a.follow(b)
    a.until(lambda: a.caught_up_with(b))
    assert b.info("stats")["sync_partial_ok"] == 1
    cut_off(a)
    async with opened(at(b)) as store:
        lost = (await publish(store, item("lost3"), item("lost4")))[-1].cursor
    b.kill()
    a.follow(None)
    async with opened(at(a)) as store:
        assert await reason(store, two) is Reason.EPOCH
        assert await reason(store, lost) is Reason.EPOCH
        [three] = await publish(store, item("new3"))
        assert three.cursor.epoch not in (two.epoch, lost.epoch)
        assert await reason(store, two) is Reason.EPOCH


async def test_it_is_seen_even_when_the_second_replication_id_is_gone(
    kind: Kind, rack: Rack
) -> None:
    a, b = pair(rack, kind, repl_backlog_ttl="1")
    async with opened(at(a)) as store:
        [one] = await publish(store, item("1"))
    b.until(lambda: b.caught_up_with(a))
    b.follow(None)
    a.follow(b)
    a.until(lambda: a.caught_up_with(b))
    a.follow(None)
    a.until(lambda: str(a.info("replication")["master_replid2"]).strip("0") == "")
    async with opened(at(a)) as store:
        assert await reason(store, one.cursor) is Reason.EPOCH


@pytest.mark.parametrize("first", ["read", "publish"])
async def test_a_demoted_master_is_given_up(kind: Kind, rack: Rack, first: str) -> None:
    """It can be read, but it is another's copy now, and may be behind."""
    a, b = rack.start(kind), rack.start(kind)
    async with opened(at(a)) as store:
        [one] = await publish(store, item())
        a.follow(b)
        a.until(lambda: a.caught_up_with(b))
        async with opened(at(b)):
            pass  # The new master has an epoch, and the old one copies it.
        a.until(lambda: a.caught_up_with(b))
        if first == "publish":
            assert "READONLY" in str((await _try(store))[0])
        else:
            with pytest.raises(StoreUnavailable, match="READONLY"):
                await store.read("a", one.cursor, 10)
        assert not store.ready
        a.follow(None)
        await until(lambda: store.ready)
        assert await reason(store, one.cursor) is Reason.EPOCH


async def _try(store: Store) -> list[object]:
    return list(await append(store, item("x")))


# -- what loses nothing --------------------------------------------------------


async def test_replicas_come_and_go(kind: Kind, rack: Rack) -> None:
    """The master draws a new replication id for its first one, and when the last has long gone."""
    master, replica = rack.start(kind, repl_backlog_ttl="1"), rack.start(kind)

    def identity() -> str:
        return str(master.info("replication")["master_replid"])

    async with opened(at(master)) as store:
        [one] = await publish(store, item("1"))
        ids = [identity()]
        replica.follow(master)
        replica.until(lambda: replica.caught_up_with(master))
        ids.append(identity())
        [two] = await publish(store, item("2"))
        replica.kill()
        master.until(lambda: identity() != ids[-1])
        ids.append(identity())
        read = await store.read("a", one.cursor, 10)
        assert isinstance(read, Page)
        assert [event.offset for event in read.events] == [2]
        [three] = await publish(store, item("3"))
    assert len(set(ids)) == 3
    assert {outcome.cursor.epoch for outcome in (one, two, three)} == {one.cursor.epoch}


async def test_many_nodes_have_one(kind: Kind, rack: Rack) -> None:
    server = rack.start(kind)
    epochs = set()
    for _ in range(3):
        async with opened(at(server)) as store, opened(at(server)) as other:
            epochs |= {store.epoch, other.epoch}
    assert len(epochs) == 1


async def test_scripts_that_were_forgotten_are_loaded_again(kind: Kind, rack: Rack) -> None:
    server = rack.start(kind)
    async with opened(at(server)) as store:
        [one] = await publish(store, item("1"))
        server.ask("SCRIPT", "FLUSH")
        outcome = (await _try(store))[0]
        assert "NOSCRIPT" in str(outcome)  # Refused, and so not in the log.
        await until(lambda: store.ready)
        [two] = await publish(store, item("2"))
        assert two.cursor == Cursor(one.cursor.epoch, 2)


async def test_reading_writes_nothing(kind: Kind, rack: Rack) -> None:
    server = rack.start(kind)

    def written() -> tuple[int, int]:
        changes = server.info("persistence")["rdb_changes_since_last_save"]
        return int(changes), int(server.ask("DBSIZE"))

    now = 1_800_000_000.0
    async with opened(RedisStore(server.url(), lambda: now)) as store:
        keep = Retention(events=3, age=60)
        await publish(store, *[item(str(number), retention=keep) for number in range(6)])
        now += 100  # Aged events lie there; who reads does not clear them away.
        before = written()
        for channel in ("a", "none"):
            for since in (*Start, Cursor(store.epoch, 0), Cursor(store.epoch, 9), Cursor("x", 1)):
                await store.read(channel, since, 10)
            await store.tail(channel, 10)
        await store.channels("", "", 10)
        assert await store.delete("none") is False
        assert written() == before
        await publish(store, item("7", retention=keep))
        assert written() != before


@pytest.mark.parametrize("kind", KINDS)
async def test_a_duplicate_of_an_older_epoch_names_the_present_one(
    kind: str, redis_shelf: Shelf
) -> None:
    server = redis_shelf.server(kind)
    once = Append("a", Draft(b"1"), key="k")
    async with opened(RedisStore(server.url())) as store:
        [first] = await publish(store, once)
        server.ask("DEL", "ph:epoch")
        [again] = await publish(store, once)
        assert again.duplicate
        assert again.cursor == first.cursor
        assert again.position == Cursor(store.epoch, first.cursor.offset)
        assert store.epoch != first.cursor.epoch
        read = await store.read("a", again.position, 9)
        assert isinstance(read, Page)
        assert (read.events, read.cursor) == ((), again.position)
