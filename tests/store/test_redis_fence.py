"""A fence keeps the epoch over a planned restart; whatever may have lost an event does not."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
import redis

from pushhub.log.cursor import Cursor, Start
from pushhub.log.read import Gap, Page, Reason
from pushhub.store.base import StoreError, StoreUnavailable, append
from pushhub.store.redis.fence import Fence
from pushhub.store.redis.frame import EPOCH_KEY
from pushhub.store.redis.store import RedisStore
from tests.redis_servers import KINDS, Kind, Rack, RedisServer
from tests.store.labs import Recorder, item, opened, publish
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# For how long a command may start: a bound that only a test that fails reaches.
START_SECONDS = 60.0


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


@pytest.fixture
def server(rack: Rack) -> RedisServer:
    return rack.start(KINDS["valkey9"])


@asynccontextmanager
async def fenced(server: RedisServer, seconds: int = 60) -> AsyncIterator[Fence]:
    fence = Fence(server.url(), seconds)
    try:
        await fence.set()
        yield fence
    finally:
        await fence.close()


def shut_down(server: RedisServer, how: str = "SAVE") -> None:
    with suppress(redis.ConnectionError):
        server.ask("SHUTDOWN", *how.split())
    server.restart()


async def expired(server: RedisServer) -> None:
    """The fence that stands has run out."""
    server.ask("HSET", EPOCH_KEY, "until", "1")


async def standing(server: RedisServer, cursor: Cursor) -> Reason | None:
    """What a reader at `cursor` is told: a gap, or that it may go on."""
    async with opened(RedisStore(server.url())) as store:
        read = await store.read("a", cursor, 10)
        return read.reason if isinstance(read, Gap) else None


# -- what keeps it -------------------------------------------------------------


@pytest.mark.parametrize("keeps", ["aof", "snapshot"])
async def test_a_fenced_restart_is_no_gap(kind: Kind, rack: Rack, keeps: str) -> None:
    options: dict[str, Any] = {}
    if keeps == "aof":
        options = {"appendonly": "yes", "appendfsync": "everysec"}
    server = rack.start(kind, **options)
    listener = Recorder()
    async with opened(RedisStore(server.url()), listener) as store:
        one, two = [outcome.cursor for outcome in await publish(store, item("1"), item("2"))]
        await store.tail("a", 10)
        async with fenced(server) as fence:
            told = await fence.keep()
            assert ("AOF" if keeps == "aof" else "snapshot") in told
            listener.hearing.clear()
            if keeps == "aof":
                assert server.process is not None
                server.process.send_signal(signal.SIGTERM)
                await asyncio.to_thread(server.process.wait, 20)
                server.process = None
                server.start()
            else:
                server.restart()  # A crash: the snapshot was written before it.
            assert await fence.restarted()
            await until(lambda: listener.hearing and store.ready)
            # Before it is lifted the log can be read, and nobody is told of a gap.
            read = await store.read("a", one, 10)
            assert isinstance(read, Page)
            assert [event.cursor for event in read.events] == [two]
            assert "fenced" in str((await append(store, item("early")))[0])
            assert await fence.lift()
        [three] = await publish(store, item("3"))
        assert three.cursor == Cursor(one.epoch, 3)
        assert isinstance(await store.read("a", two, 10), Page)
    assert await standing(server, two) is None


async def test_a_fence_refuses_what_would_change_the_log(server: RedisServer) -> None:
    async with opened(RedisStore(server.url())) as store:
        [one] = await publish(store, item("1"))
        async with fenced(server) as fence:
            (outcome,) = await append(store, item("2"))
            assert isinstance(outcome, StoreUnavailable)
            with pytest.raises(StoreUnavailable, match="fenced"):
                await store.delete("a")
            with pytest.raises(StoreError, match="fence stands already"):
                await Fence(server.url(), 60).set()
            # A node that starts meanwhile reads, too.
            assert await standing(server, one.cursor) is None
            assert await fence.lift()  # Nothing was restarted.
            with pytest.raises(StoreError, match="used already"):
                await fence.lift()
        [two] = await publish(store, item("2"))
        assert two.cursor == Cursor(one.cursor.epoch, 2)


async def test_a_fenced_switch_to_a_replica_is_no_gap(kind: Kind, rack: Rack) -> None:
    a, b = rack.start(kind), rack.start(kind)
    b.follow(a)
    b.until(lambda: b.caught_up_with(a))
    async with opened(RedisStore(a.url())) as store:
        [one] = await publish(store, item("1"))
    async with fenced(a) as fence:
        b.until(lambda: b.caught_up_with(a))
        b.follow(None)
        fence._opener = Fence(b.url(), 1)._opener  # As Sentinel leads it.
        assert await fence.restarted()
        assert await fence.lift()
    assert await standing(b, one.cursor) is None
    # The old master lives on. It never goes on in the epoch that the new one has.
    await expired(a)
    async with opened(RedisStore(a.url())) as store:
        [other] = await publish(store, item("other"))
        assert other.cursor.epoch != one.cursor.epoch


# -- what does not -------------------------------------------------------------


@pytest.mark.parametrize("fault", ["crash", "older", "flush", "expired", "stranger", "no secret"])
async def test_it_is_a_gap_where_nothing_is_proven(rack: Rack, fault: str) -> None:
    server = rack.start(KINDS["valkey9"])
    async with opened(RedisStore(server.url())) as store:
        [one] = await publish(store, item("1"))
        server.ask("SAVE")
        [two] = await publish(store, item("2"))
    async with fenced(server) as fence:
        match fault:
            case "crash" | "older":  # The snapshot is older than the fence.
                server.restart()
            case "flush":
                server.ask("FLUSHALL")
            case "expired":
                await fence.keep()
                server.restart()
                await expired(server)
            case "stranger":  # A pushhub that knows no fences writes an epoch of its own.
                server.ask("HSET", EPOCH_KEY, "epoch", "stranger", "identity", "x", "run_id", "x")
                await fence.keep()
                server.restart()
            case "no secret":
                await fence.keep()
                server.restart()
                fence._secret = "another"
        assert not await fence.lift()
    if fault == "no secret":
        await expired(server)
    assert await standing(server, one.cursor) is Reason.EPOCH
    assert await standing(server, two.cursor) is Reason.EPOCH


async def test_a_snapshot_with_a_fence_proves_nothing_twice(rack: Rack) -> None:
    """After the planned restart Redis crashes, and starts from the snapshot of before again."""
    server = rack.start(KINDS["valkey9"])
    async with opened(RedisStore(server.url())) as store:
        [one] = await publish(store, item("1"))
    async with fenced(server) as fence:
        await fence.keep()
        server.restart()
        assert await fence.restarted()
        assert await fence.lift()
        async with opened(RedisStore(server.url())) as store:
            [lost] = await publish(store, item("lost"))
            assert lost.cursor == Cursor(one.cursor.epoch, 2)
        server.restart()
        # The fence stands again, and nobody has its secret.
        with pytest.raises(StoreError, match="used already"):
            await fence.lift()
        async with opened(RedisStore(server.url())) as store:
            assert "fenced" in str((await append(store, item("x")))[0])
            assert await standing(server, lost.cursor) is Reason.AHEAD
            await expired(server)
            assert await standing(server, one.cursor) is Reason.EPOCH
            [next_] = await publish(store, item("next"))
            assert next_.cursor.epoch != one.cursor.epoch


async def test_a_replica_that_lags_has_no_fence(kind: Kind, rack: Rack) -> None:
    a, b = rack.start(kind), rack.start(kind)
    b.follow(a)
    b.until(lambda: b.caught_up_with(a))
    async with opened(RedisStore(a.url())) as store:
        [one] = await publish(store, item("1"))
        b.until(lambda: b.caught_up_with(a))
        b.ask("REPLICAOF", "127.0.0.1", "1")
        await publish(store, item("2"))
    async with fenced(a) as fence:
        a.kill()
        b.follow(None)
        fence._opener = Fence(b.url(), 1)._opener
        assert await fence.restarted()
        assert not await fence.lift()
    assert await standing(b, one.cursor) is Reason.EPOCH


async def test_an_answer_that_was_lost_is_not_asked_for_elsewhere(server: RedisServer) -> None:
    """The secret may have been heard: another server must never hear it."""
    async with fenced(server) as fence:
        server.signal(signal.SIGSTOP)
        lifting = asyncio.ensure_future(fence.lift())
        done, _ = await asyncio.wait([lifting], timeout=0.1)
        assert not done
        lifting.cancel()
        with suppress(asyncio.CancelledError):
            await lifting
        server.signal(signal.SIGCONT)
        if fence._shown:
            with pytest.raises(StoreError, match="used already"):
                await fence.lift()


# -- the command ---------------------------------------------------------------


_started: list[asyncio.subprocess.Process] = []


@pytest.fixture(autouse=True)
async def _commands_end() -> AsyncIterator[None]:
    """No command outlives its test, nor is left for another test's collector of garbage."""
    yield
    while _started:
        process = _started.pop()
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def command(server: RedisServer, *flags: str) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pushhub", "store", "fence", *flags),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PUSHHUB_STORE": server.url(), "PUSHHUB_DEV": "true"},
    )
    _started.append(process)
    return process


async def line(process: asyncio.subprocess.Process) -> str:
    """The next line of a command that may have to start first."""
    assert process.stdout is not None
    async with asyncio.timeout(START_SECONDS):
        return (await process.stdout.readline()).decode()


async def test_the_command_ends_when_redis_is_back(rack: Rack) -> None:
    server = rack.start(KINDS["valkey9"])
    async with opened(RedisStore(server.url())) as store:
        [one] = await publish(store, item("1"))
    process = await command(server)
    assert "Restart Redis now" in await line(process)
    shut_down(server)
    assert f"continues in epoch {one.cursor.epoch}" in await line(process)
    assert await process.wait() == 0
    assert await standing(server, one.cursor) is None


async def test_ctrl_c_lifts_the_fence(server: RedisServer) -> None:
    process = await command(server)
    assert "Ctrl-C lifts" in await line(process)
    process.send_signal(signal.SIGINT)
    assert "Lifted" in await line(process)
    assert await process.wait() == 1
    async with opened(RedisStore(server.url())) as store:
        await publish(store, item("1"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_while_the_snapshot_is_written_lifts_the_fence(
    server: RedisServer, number: signal.Signals
) -> None:
    """Without an AOF the command waits for a snapshot first, minutes with a large log."""
    async with opened(RedisStore(server.url())) as store:
        [one] = await publish(store, item("1"))
    # Microseconds for each key.
    server.ask("CONFIG", "SET", "rdb-key-save-delay", "10000000")
    process = await command(server)
    await until(lambda: server.info("persistence")["rdb_bgsave_in_progress"])
    process.send_signal(number)
    assert f"Lifted; the log continues in epoch {one.cursor.epoch}" in await line(process)
    assert await process.wait() == 1
    assert await standing(server, one.cursor) is None
    async with opened(RedisStore(server.url())) as store:
        await publish(store, item("2"))


async def test_it_is_for_redis_alone() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pushhub", "store", "fence"),
        stderr=asyncio.subprocess.PIPE,
        env={"PUSHHUB_STORE": "memory://", "PUSHHUB_DEV": "true"},
    )
    _, said = await process.communicate()
    assert process.returncode == 2
    assert b"Only a log in Redis needs a fence" in said


# -- the format ----------------------------------------------------------------


async def test_another_format_is_refused_in_one_sentence(server: RedisServer) -> None:
    async with opened(RedisStore(server.url())) as store:
        await publish(store, item("1"))
        assert server.ask("HGET", EPOCH_KEY, "format") == b"1"
        server.ask("HSET", EPOCH_KEY, "format", "2")
        with pytest.raises(StoreError, match="has format 2, and this pushhub reads format 1"):
            async with opened(RedisStore(server.url())):
                pass
        # A node that runs notices when it connects again, and waits for a way out.
        server.ask("CLIENT", "KILL", "TYPE", "normal")
        await until(lambda: not store.ready)
        server.ask("HSET", EPOCH_KEY, "format", "1")
        await until(lambda: store.ready)


async def test_data_without_a_format_is_of_the_first(server: RedisServer) -> None:
    async with opened(RedisStore(server.url())) as store:
        [one] = await publish(store, item("1"))
    server.ask("HDEL", EPOCH_KEY, "format")
    async with opened(RedisStore(server.url())) as store:
        read: Any = await store.read("a", Start.EARLIEST, 10)
        assert [event.cursor for event in read.events] == [one.cursor]
    assert server.ask("HGET", EPOCH_KEY, "format") == b"1"
