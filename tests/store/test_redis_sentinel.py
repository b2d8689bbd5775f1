"""A planned failover: the master moves while the old one lives on, and is left in time."""

from __future__ import annotations

import asyncio

import pytest
import redis

from pushhub.log.cursor import Cursor, Start
from pushhub.log.read import Page
from pushhub.store.base import Appended, StoreUnavailable, append
from pushhub.store.redis.link import SWITCHING, RedisLink
from pushhub.store.redis.sentinel import SETTLE_SECONDS, Sentinels
from pushhub.store.redis.store import RedisStore
from pushhub.store.redis.url import read_sentinel_url
from tests.ports import free_port
from tests.redis_servers import KINDS, Kind, Rack, RedisServer
from tests.store.labs import item, opened, publish
from tests.waiting import until


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


def watched(rack: Rack, kind: Kind) -> tuple[RedisServer, RedisServer, RedisServer]:
    """A master, a replica that a sentinel knows, and the sentinel."""
    master, replica = rack.start(kind), rack.start(kind)
    replica.follow(master)
    replica.until(lambda: replica.caught_up_with(master))
    sentinel = rack.start(kind, sentinel=True)
    sentinel.ask("SENTINEL", "MONITOR", "hub", "127.0.0.1", master.port, "1")
    sentinel.until(lambda: sentinel.ask("SENTINEL", "REPLICAS", "hub"), 15)
    return master, replica, sentinel


def begins_a_failover(sentinel: RedisServer) -> bool:
    """Ask for a failover; a busy machine's replica may look too old to Sentinel for a moment."""
    try:
        sentinel.ask("SENTINEL", "FAILOVER", "hub")
    except redis.ResponseError as error:
        if "NOGOODSLAVE" in str(error):
            return False
        raise
    return True


def has_a_subscriber(sentinel: RedisServer) -> bool:
    """Whether a hub receives the sentinel's messages."""
    return b"psub=1" in sentinel.ask("CLIENT", "LIST")


async def test_a_planned_failover_loses_nothing_that_was_acknowledged(
    kind: Kind, rack: Rack
) -> None:
    master, replica, sentinel = watched(rack, kind)
    # One that is gone is no reason not to listen to the other.
    hosts = f"127.0.0.1:{free_port()},127.0.0.1:{sentinel.port}"
    async with opened(RedisStore(f"redis+sentinel://{hosts}/hub/0")) as store:
        assert isinstance(store, RedisStore)
        [one] = await publish(store, item("0"))
        old = one.cursor.epoch
        # A failover that begins before the subscription is noticed by its result alone.
        await until(lambda: has_a_subscriber(sentinel))
        # A replica that was just copied to gets the first second of the stream late.
        replica.until(lambda: replica.caught_up_with(master))
        acknowledged: list[Cursor] = []
        refused: set[str] = set()

        async def write() -> None:
            while store.epoch == old:
                (outcome,) = await append(store, item("x"))
                if isinstance(outcome, Appended):
                    acknowledged.append(outcome.cursor)
                else:
                    refused.add(str(outcome))
                await asyncio.sleep(0.001)

        writing = asyncio.create_task(write())
        await until(lambda: len(acknowledged) > 10)
        await until(lambda: begins_a_failover(sentinel))
        await asyncio.wait_for(writing, 20)
        # It was left although it still says that it is the master.
        assert master.info("replication")["role"] == "master"
        assert replica.info("replication")["role"] == "master"
        assert SWITCHING in refused
        # An acknowledged event is in the log of the new master.
        read = await store.read("a", Start.EARLIEST, 100_000)
        kept = {event.cursor for event in read.events} if isinstance(read, Page) else set()
        while isinstance(read, Page) and not read.up_to_date:
            read = await store.read("a", read.cursor, 100_000)
            assert isinstance(read, Page)
            kept |= {event.cursor for event in read.events}
        assert set(acknowledged) <= kept
        # The feed moved too.
        await until(lambda: store.ready)


async def test_a_failover_that_is_given_up_lets_publishes_go_on(rack: Rack) -> None:
    sentinels = Sentinels(read_sentinel_url("redis+sentinel://127.0.0.1/hub/0"))

    def tell(event: str, data: str) -> bool:
        return sentinels._receive({"channel": event.encode(), "data": data.encode()})

    slave = "slave 127.0.0.1:2 127.0.0.1 2 @ hub 127.0.0.1 1"
    assert not tell("+failover-state-send-slaveof-noone", slave.replace("@ hub", "@ other"))
    assert not sentinels.switching
    assert not tell("+failover-state-send-slaveof-noone", slave)
    assert sentinels.switching
    assert not tell("-failover-abort-slave-timeout", "master hub 127.0.0.1 1")
    assert not sentinels.switching
    assert tell("+promoted-slave", slave)
    assert tell("+switch-master", "hub 127.0.0.1 1 127.0.0.1 2")
    assert not tell("+switch-master", "other 127.0.0.1 1 127.0.0.1 2")
    assert not tell("+sdown", "sentinel abc 127.0.0.1 3 @ hub 127.0.0.1 1")
    await sentinels.close()


async def test_a_sentinel_that_is_behind_does_not_lead_back(
    rack: Rack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For some seconds after a switch the others still name the old master, which still serves."""
    sentinels = Sentinels(read_sentinel_url("redis+sentinel://127.0.0.1/hub/0"))
    moved: list[object] = []
    now = asyncio.get_running_loop().time()
    monkeypatch.setattr(sentinels, "_now", lambda: now)
    sentinels.watch(lambda: moved.append(sentinels.current))
    assert sentinels._learn(1, ("old", 1))
    assert sentinels._learn(2, ("new", 2))
    assert not sentinels._learn(1, ("old", 1))
    assert sentinels.current == ("new", 2)
    assert moved == [("old", 1), ("new", 2)]
    # A sentinel that was set up again counts from 0, and is believed when no other contradicts.
    now += SETTLE_SECONDS + 1
    assert sentinels._learn(0, ("third", 3))
    await sentinels.close()


async def test_an_odd_reply_does_not_end_the_listening() -> None:
    """A sentinel whose service is removed between two commands has no master to name."""
    odd = [b"*0\r\n", b"*-1\r\n"]
    named = b"*2\r\n$9\r\n127.0.0.1\r\n$4\r\n7777\r\n"
    known = b"*4\r\n$5\r\nflags\r\n$6\r\nmaster\r\n$12\r\nconfig-epoch\r\n$1\r\n5\r\n"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readline():
            words = []
            for _ in range(int(head[1:])):
                size = int((await reader.readline())[1:])
                words.append((await reader.readexactly(size + 2))[:-2])
            match words[:2]:
                case [b"SENTINEL", b"MASTER"]:
                    # Nothing is known of the service, then that there is a master.
                    writer.write(odd.pop(0) if len(odd) == 2 else known)
                case [b"SENTINEL", _]:
                    writer.write(odd.pop(0) if odd else named)
                case [b"PSUBSCRIBE", pattern]:
                    writer.write(b"*3\r\n$10\r\npsubscribe\r\n$1\r\n%b\r\n:1\r\n" % pattern)
                case _:
                    writer.write(b"+OK\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    sentinels = Sentinels(read_sentinel_url(f"redis+sentinel://127.0.0.1:{port}/hub/0"))
    moved = asyncio.Event()
    sentinels.watch(moved.set)
    async with asyncio.timeout(20):
        await moved.wait()
    assert sentinels.current == ("127.0.0.1", 7777)
    assert odd == []
    await sentinels.close()
    server.close()


async def test_no_sentinel_at_all_is_one_sentence(rack: Rack) -> None:
    store = RedisStore(f"redis+sentinel://127.0.0.1:{free_port()}/hub/0")
    with pytest.raises(StoreUnavailable, match="No master found for 'hub'"):
        async with opened(store):
            pass


async def test_closing_ends_although_a_cancellation_was_forgotten() -> None:
    """As asyncio.wait_for does before Python 3.12, with which redis-py connects."""
    sentinels = Sentinels(read_sentinel_url("redis+sentinel://127.0.0.1/hub/0"))
    forgotten = asyncio.Event()

    async def listen() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            forgotten.set()
        await asyncio.Event().wait()

    sentinels._tasks.append(asyncio.create_task(listen()))
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await sentinels.close()
    assert forgotten.is_set()


async def test_the_sentinels_are_heard_before_the_master_is_connected(
    rack: Rack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a failover between connection and subscription costs acknowledged events."""
    _, _, sentinel = watched(rack, KINDS["valkey9"])
    store = RedisStore(f"redis+sentinel://127.0.0.1:{sentinel.port}/hub/0")
    connect = RedisLink._connect_commands

    async def late(link: RedisLink) -> None:
        await until(lambda: has_a_subscriber(sentinel))
        await connect(link)

    monkeypatch.setattr(RedisLink, "_connect_commands", late)
    async with opened(store):
        assert store.ready


async def test_publishes_are_refused_while_the_master_moves(rack: Rack) -> None:
    _, _, sentinel = watched(rack, KINDS["valkey9"])
    store = RedisStore(f"redis+sentinel://127.0.0.1:{sentinel.port}/hub/0")
    async with opened(store):
        sentinels = store._link._opener.sentinels
        assert sentinels is not None
        about = b"slave 127.0.0.1:2 127.0.0.1 2 @ hub 127.0.0.1 1"
        sentinels._receive({"channel": b"+failover-state-send-slaveof-noone", "data": about})
        (outcome,) = await append(store, item("x"))
        assert str(outcome) == SWITCHING
