"""Servers that hang, are full, or do not let us in: each time a sentence, and it all comes back."""

from __future__ import annotations

import asyncio
import signal
import socket
import struct
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
import structlog
import uvloop

from pushhub.log.cursor import Start
from pushhub.log.read import Gap, Page
from pushhub.store.base import (
    Appended,
    SharedTokens,
    StoreError,
    StoreUnavailable,
    TokenLease,
    append,
)
from pushhub.store.redis import link as redis_link
from pushhub.store.redis.open import Opener
from pushhub.store.redis.store import RedisStore
from pushhub.store.redis.wire import Wire
from tests.certificates import certificate
from tests.ports import free_port
from tests.proxy import Proxy
from tests.redis_servers import KINDS, Kind, Rack
from tests.store.labs import Recorder, item, opened, publish
from tests.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from pushhub.store.base import Outcome, Store

# By how much a machine that does much else may be late.
LATE_SECONDS = 10.0
# What the user of a locked-down Redis needs.
LEAST_RIGHTS = (
    "~ph:* resetchannels &ph:* +evalsha +script|load +info +ping +subscribe +unsubscribe +select "
    "+client|setname +client|setinfo +time +publish +hset +hmget +xadd +xrange +xrevrange +xdel "
    "+xlen +del +pexpire +zadd +zrem +zrangebylex"
)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


async def refusal(store: Store) -> str:
    """Why an append is refused."""
    [outcome] = await append(store, item("refused"))
    assert isinstance(outcome, StoreUnavailable), outcome
    return str(outcome)


async def works(url: str) -> None:
    """A store at the address carries out whatever a store does."""
    listener = Recorder()
    async with opened(RedisStore(url), listener) as store:
        await store.tail("a", 1)
        [one] = await publish(store, item())
        read = await store.read("a", Start.EARLIEST, 10)
        assert isinstance(read, Page)
        assert [event.cursor for event in read.events] == [one.cursor]
        assert len(await store.channels("", "", 10)) == 1
        leased: asyncio.Future[TokenLease | None] = asyncio.get_running_loop().create_future()
        assert isinstance(store, SharedTokens)
        store.take_tokens("address-requests:0", (1.0, 10.0, 3.0, 2), "one", leased.set_result)
        assert await leased == TokenLease(2, 0.0, 1), "5 of 10 tokens are used"
        await store.delete("a")
        assert len(await listener.heard(store, 2)) == 2
        store.leave("a")


async def sentence(url: str) -> str:
    """Why a store cannot be opened."""
    with pytest.raises(StoreError) as failed:
        await RedisStore(url).open(Recorder())
    assert str(failed.value).endswith(".")
    return str(failed.value)


# -- servers that hang or are full ---------------------------------------------


async def test_a_server_that_hangs_refuses_within_two_seconds(kind: Kind, rack: Rack) -> None:
    server = rack.start(kind)
    listener = Recorder()
    async with opened(RedisStore(server.url()), listener) as store:
        await store.tail("a", 1)
        await publish(store, item("1"))
        await listener.heard(store, 1)
        listener.hearing.clear()
        server.signal(signal.SIGSTOP)
        begun = time.monotonic()
        first: Outcome = (await append(store, item("lost in the hang")))[0]
        assert isinstance(first, StoreUnavailable)
        took = time.monotonic() - begun
        assert 1.9 < took < redis_link.COMMAND_SECONDS + redis_link.WATCH_SECONDS + LATE_SECONDS
        begun = time.monotonic()
        assert "cannot be reached at the moment" in await refusal(store)
        with pytest.raises(StoreUnavailable):
            await store.read("a", Start.EARLIEST, 1)
        assert time.monotonic() - begun < 1.5, "nobody waits for an answer"
        assert not store.ready
        server.signal(signal.SIGCONT)
        await until(lambda: store.ready)
        # The server carries out what it had received, refused or not; and tells of it, or says
        # that it may have told of something.
        [last] = await publish(store, item("2"))
        if last.cursor.offset == 3:
            await until(lambda: listener.hearing[-1:] == [True] or len(listener.told) == 3)
        read = await store.read("a", Start.EARLIEST, 10)
        assert isinstance(read, Page)
        assert [event.offset for event in read.events] == list(range(1, last.cursor.offset + 1))


async def test_a_full_server_refuses_and_reads_on(kind: Kind, rack: Rack) -> None:
    server = rack.start(kind, maxmemory_policy="noeviction")
    async with opened(RedisStore(server.url())) as store:
        [one] = await publish(store, item("1"))
        server.ask("CONFIG", "SET", "maxmemory", "1")
        for _ in range(3):
            assert "OOM" in await refusal(store)
        read = await store.read("a", Start.EARLIEST, 10)
        assert isinstance(read, Page)
        assert len(read.events) == 1
        assert store.ready
        server.ask("CONFIG", "SET", "maxmemory", "0")
        [two] = await publish(store, item("2"))
        assert (two.cursor.epoch, two.cursor.offset) == (one.cursor.epoch, 2)


async def test_a_server_that_is_gone_and_comes_back(kind: Kind, rack: Rack) -> None:
    server = rack.start(kind)
    async with opened(RedisStore(server.url())) as store:
        server.kill()
        await until(lambda: not store.ready)
        assert "cannot be reached" in await refusal(store)
        await asyncio.sleep(0.2)  # Some vain attempts.
        server.start()
        await until(lambda: store.ready)
        await publish(store, item())


async def test_nothing_that_was_refused_is_left_behind_by_closing(
    rack: Rack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that is closed while it connects."""
    monkeypatch.setattr(redis_link, "COMMAND_SECONDS", 6 * LATE_SECONDS)
    server = rack.start(KINDS["valkey9"])
    async with Proxy(server.port) as proxy:
        store = RedisStore(f"redis://127.0.0.1:{proxy.port}")
        await store.open(Recorder())
        before = set(proxy.passages)
        server.signal(signal.SIGSTOP)
        proxy.cut()
        # It tries again, and nobody answers.
        await until(lambda: len(set(proxy.passages) - before) == 2)
        begun = time.monotonic()
        await store.close()
        assert time.monotonic() - begun < LATE_SECONDS
        server.signal(signal.SIGCONT)
        await until(lambda: not proxy.passages)


async def test_a_cancellation_that_is_forgotten_does_not_keep_a_store_from_closing(
    rack: Rack, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = rack.start(KINDS["valkey9"])
    store = RedisStore(server.url())
    await store.open(Recorder())
    make, connecting, forgets = Opener._make, list[bool](), iter([True, True])

    async def forgetful(opener: Opener) -> Any:
        """As `asyncio.wait_for` may be, before Python 3.12."""
        connecting.append(True)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if next(forgets, False):
                return await make(opener)
            raise

    monkeypatch.setattr(Opener, "_make", forgetful)
    server.kill()
    await until(lambda: len(connecting) == 2)
    async with asyncio.timeout(LATE_SECONDS):
        await store.close()
    assert next(forgets, None) is None


async def test_a_stall_of_the_hub_is_no_silence_of_the_server(rack: Rack) -> None:
    """What waited to be sent while the process stood still has its time from then on."""
    server = rack.start(KINDS["valkey9"])
    async with opened(RedisStore(server.url())) as store:
        with structlog.testing.capture_logs() as logs:
            appending = asyncio.ensure_future(append(store, item()))
            await asyncio.sleep(0)
            # So that it cannot answer before the connections are looked at.
            server.signal(signal.SIGSTOP)
            time.sleep(redis_link.COMMAND_SECONDS + 0.5)  # noqa: ASYNC251 - the stall itself
            asyncio.get_running_loop().call_later(0.5, server.signal, signal.SIGCONT)
            [outcome] = await appending
    assert isinstance(outcome, Appended), outcome
    assert "redis.lost" not in [line["event"] for line in logs]


async def test_the_feed_goes_where_the_commands_go(rack: Rack) -> None:
    """After a failover the old master may still be there, and never say a word."""
    old, new = rack.start(KINDS["valkey9"]), rack.start(KINDS["valkey9"])
    listener = Recorder()
    async with (
        Proxy(old.port) as proxy,
        opened(RedisStore(f"redis://127.0.0.1:{proxy.port}"), listener) as store,
    ):
        await store.tail("a", 1)
        listener.hearing.clear()
        proxy.target = new.port
        proxy.passages[0].cut()
        await until(lambda: False in listener.hearing and store.ready)
        [one] = await publish(store, item())
        [event] = await listener.heard(store, 1)
        assert not isinstance(event, str)
        assert event.cursor == one.cursor
        await until(lambda: old.ask("PUBSUB", "CHANNELS") == [])


async def test_a_connection_that_is_lost_when_it_has_just_been_prepared(rack: Rack) -> None:
    server = rack.start(KINDS["valkey9"])
    async with Proxy(server.port) as proxy:
        lost: list[bool] = []
        cuts = iter([False, True])

        async def prepare(ask: redis_link.Ask) -> None:
            assert await ask((b"PING",)) == b"PONG"
            if next(cuts, False):
                count = len(lost)
                proxy.cut()
                await until(lambda: len(lost) > count)

        link = redis_link.RedisLink(
            Opener(f"redis://127.0.0.1:{proxy.port}"), prepare, lambda: lost.append(True)
        )
        await link.open(Recorder())
        proxy.cut()
        await until(lambda: len(lost) == 2)
        await until(lambda: link.ready)
        assert await link.call((b"PING",)) == b"PONG"
        await link.close()


async def test_a_mistake_in_connecting_is_told_and_does_not_end_it(
    rack: Rack, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = rack.start(KINDS["valkey9"])
    async with opened(RedisStore(server.url())) as store:
        make, mistakes = Opener._make, iter([True, True])

        async def mistaken(opener: Opener) -> Any:
            if next(mistakes, False):
                raise AttributeError("a mistake")
            return await make(opener)

        monkeypatch.setattr(Opener, "_make", mistaken)
        with structlog.testing.capture_logs() as logs:
            server.restart()
            await until(lambda: not store.ready)
            await until(lambda: store.ready)
        assert [log["event"] for log in logs if log["log_level"] == "error"] == 2 * ["redis.failed"]
        await publish(store, item())


# -- ways in -------------------------------------------------------------------


async def test_a_password(kind: Kind, rack: Rack) -> None:
    server = rack.start(kind, requirepass="secret")
    address = f"127.0.0.1:{server.port}/0"
    await works(f"redis://:secret@{address}")
    for url in (f"redis://:wrong@{address}", f"redis://nobody:secret@{address}"):
        assert "invalid username-password pair" in await sentence(url)
    assert "Authentication required" in await sentence(f"redis://{address}")


async def test_a_user_with_the_least_rights(kind: Kind, rack: Rack) -> None:
    server = rack.start(kind)
    rights = LEAST_RIGHTS.split()
    if not kind.has_waitaof:
        rights.remove("+client|setinfo")  # It came with Redis 7.2 too.
    server.ask("ACL", "SETUSER", "hub", "on", ">secret", *rights)
    await works(f"redis://hub:secret@127.0.0.1:{server.port}/1")
    server.ask("ACL", "SETUSER", "hub", "-evalsha")
    said = await sentence(f"redis://hub:secret@127.0.0.1:{server.port}/1")
    assert "refuses to serve pushhub" in said
    assert "evalsha" in said


async def test_databases(kind: Kind, rack: Rack) -> None:
    server = rack.start(kind, databases="4")
    await works(server.url(3))
    assert "out of range" in await sentence(server.url(4))


async def test_a_unix_socket(kind: Kind, rack: Rack) -> None:
    path = rack.folder / "s"
    rack.start(kind, unixsocket=str(path))
    await works(f"unix://{path}?db=2")
    assert "cannot be reached" in await sentence(f"unix://{path}.not")


async def test_nobody_there() -> None:
    assert "cannot be reached" in await sentence(f"redis://127.0.0.1:{free_port()}")
    assert "cannot be reached" in await sentence("redis://no-such-host.invalid")


async def test_somebody_else_there() -> None:
    """A web server, or whoever answers something else, or nothing at all."""

    async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(web, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert "cannot be reached" in await sentence(f"redis://127.0.0.1:{port}")


def test_a_server_that_resets_whoever_comes() -> None:
    """As one does that dies, or that a balancer knows to be dead: any moment may be the last."""
    door = socket.create_server(("127.0.0.1", 0))

    def reset() -> None:
        with suppress(OSError):  # The test is over.
            while True:
                guest, _ = door.accept()
                guest.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                guest.close()

    async def knock() -> None:
        opener = Opener(f"redis://127.0.0.1:{door.getsockname()[1]}")
        loop = asyncio.get_running_loop()
        for _ in range(500):
            with pytest.raises(StoreUnavailable, match="cannot be reached"):
                await opener.open(Wire(loop, lambda: None))

    thread = threading.Thread(target=reset)
    thread.start()
    try:
        # uvloop tells of a reset in another way than asyncio's own loop.
        for factory in (asyncio.new_event_loop, uvloop.new_event_loop):
            with asyncio.Runner(loop_factory=factory) as runner:
                runner.run(knock())
    finally:
        door.shutdown(socket.SHUT_RDWR)
        door.close()
        thread.join()


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://",
        "redis+sentinel:///name",
        "redis+sentinel://host:26379",
        "redis+sentinel://host:port/name",
        "redis+sentinel://host/name/one",
        "redis+sentinel://host/name/0/more",
    ],
)
def test_addresses_that_cannot_be_read(url: str) -> None:
    with pytest.raises(StoreError, match="URL of Redis is not valid"):
        Opener(url)


# -- TLS -----------------------------------------------------------------------


async def test_tls(rack: Rack, tmp_path: Path) -> None:
    """With the one server of ours that is built with it."""
    ours, key = certificate(tmp_path, "ours")
    other, _ = certificate(tmp_path, "other")
    port = free_port()
    rack.start(
        KINDS["redis7"],
        tls_port=str(port),
        tls_cert_file=str(ours),
        tls_key_file=str(key),
        tls_auth_clients="no",
    )
    await works(f"rediss://localhost:{port}/0?ssl_ca_certs={ours}")
    assert "certificate" in await sentence(f"rediss://localhost:{port}/0?ssl_ca_certs={other}")
    assert "cannot be reached" in await sentence(f"redis://localhost:{port}/0")


# -- Sentinel ------------------------------------------------------------------


async def test_sentinel_leads_to_the_master_and_to_the_next_one(kind: Kind, rack: Rack) -> None:
    master, replica = rack.start(kind), rack.start(kind)
    replica.follow(master)
    replica.until(lambda: replica.caught_up_with(master))
    sentinel = rack.start(kind, sentinel=True)
    sentinel.ask("SENTINEL", "MONITOR", "hub", "127.0.0.1", master.port, "1")
    sentinel.ask("SENTINEL", "SET", "hub", "failover-timeout", 2000)
    # One that is gone is no reason not to ask the next.
    hosts = f"127.0.0.1:{free_port()},127.0.0.1:{sentinel.port}"
    said = await sentence(f"redis+sentinel://{hosts}/other/0")
    assert said == "Redis cannot be reached: No master found for 'other'."
    listener = Recorder()
    async with opened(RedisStore(f"redis+sentinel://{hosts}/hub/0"), listener) as store:
        await store.tail("a", 1)
        [one] = await publish(store, item("1"))
        replica.until(lambda: replica.caught_up_with(master))
        sentinel.until(lambda: sentinel.ask("SENTINEL", "REPLICAS", "hub"), 15)
        master.kill()
        # Not before: a master that is only slow would be given up.
        sentinel.ask("SENTINEL", "SET", "hub", "down-after-milliseconds", 300)
        await until(lambda: False in listener.hearing and store.ready, seconds=60)
        assert isinstance(await store.read("a", one.cursor, 10), Gap)
        [two] = await publish(store, item("2"))
        assert two.cursor.offset == 2
        assert len(await listener.heard(store, 2)) == 2
