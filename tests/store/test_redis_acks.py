"""How far an acknowledged publish has come, and that nobody is told more than that."""

from __future__ import annotations

import asyncio
import signal
import time

import pytest

from pushhub.log.event import Draft
from pushhub.store.base import Append, Appended, StoreError, append
from pushhub.store.redis.acks import AckLevel, Acks
from pushhub.store.redis.store import RedisStore
from tests.redis_servers import KINDS, Kind, Rack, RedisServer
from tests.store.labs import Recorder, insist, item, opened, publish
from tests.waiting import until

REPLICATED = Acks(AckLevel.REPLICATED, 1, 300)
# Where it is to be reached, however long another process takes.
PATIENT = 15_000


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


def pair(rack: Rack, kind: Kind) -> tuple[RedisServer, RedisServer]:
    master, replica = rack.start(kind), rack.start(kind)
    replica.follow(master)
    replica.until(lambda: replica.caught_up_with(master))

    def answers() -> bool:
        with master.client() as client:
            client.set("x", 1)
            return bool(client.wait(1, 100))

    # One that has just come is not asked at first.
    master.until(answers)
    return master, replica


def keyed(text: str) -> Append:
    return Append("a", Draft(text.encode()), key="k")


async def test_memory_is_the_default(kind: Kind, rack: Rack) -> None:
    async with opened(RedisStore(rack.start(kind).url())) as store:
        assert [outcome.reached for outcome in await publish(store, item())] == [""]


async def test_replicas(kind: Kind, rack: Rack) -> None:
    master, replica = pair(rack, kind)
    patient = RedisStore(master.url(), acks=Acks(AckLevel.REPLICATED, 1, PATIENT))
    async with opened(patient), opened(RedisStore(master.url(), acks=REPLICATED)) as store:
        outcomes = await publish(patient, item("1"), item("2", "b"))
        assert [outcome.reached for outcome in outcomes] == ["replicated"] * 2
        replica.signal(signal.SIGSTOP)
        begun = time.monotonic()
        tries = await asyncio.gather(*(append(store, item(str(n))) for n in range(100)))
        assert {insist(outcome).reached for [outcome] in tries} == {"memory"}
        # A hundred publishes wait together; one after the other they would for 30 s.
        assert 0.3 <= time.monotonic() - begun < 15
        replica.signal(signal.SIGCONT)
        replica.until(lambda: replica.caught_up_with(master))
        assert [o.reached for o in await publish(patient, item("3"))] == ["replicated"]
        # The connection that waited in vain is no worse for it.
        async with asyncio.timeout(PATIENT / 1000):
            while (await publish(store, item("4")))[0].reached != "replicated":
                pass


async def test_more_replicas_than_there_are(kind: Kind, rack: Rack) -> None:
    master, _ = pair(rack, kind)
    async with opened(RedisStore(master.url(), acks=Acks(AckLevel.REPLICATED, 2, 50))) as store:
        assert [o.reached for o in await publish(store, item())] == ["memory"]


async def test_a_retry_on_another_connection_waits_for_the_event_of_then(
    kind: Kind, rack: Rack
) -> None:
    master, replica = pair(rack, kind)
    replica.signal(signal.SIGSTOP)
    for duplicate in (False, True):
        async with opened(RedisStore(master.url(), acks=REPLICATED)) as store:
            [outcome] = await publish(store, keyed("1"))
            assert (outcome.duplicate, outcome.reached) == (duplicate, "memory")
    replica.signal(signal.SIGCONT)
    async with opened(
        RedisStore(master.url(), acks=Acks(AckLevel.REPLICATED, 1, PATIENT))
    ) as store:
        [outcome] = await publish(store, keyed("1"))
        assert (outcome.duplicate, outcome.reached) == (True, "replicated")


async def test_a_master_that_dies_meanwhile(kind: Kind, rack: Rack) -> None:
    master, replica = pair(rack, kind)
    replica.signal(signal.SIGSTOP)
    acks = Acks(AckLevel.REPLICATED, 1, PATIENT)
    async with opened(RedisStore(master.url(), acks=acks)) as store:
        tries = [asyncio.ensure_future(append(store, item(str(n)))) for n in range(3)]
        late = asyncio.ensure_future(append(store, item("late")))
        await until(lambda: master.info("clients")["blocked_clients"])
        master.kill()
        outcomes = [outcome for [outcome] in await asyncio.gather(*tries, late)]
        # The first was in the master's memory; of the others that may be unknown.
        assert insist(outcomes[0]).reached == "memory"
        assert {o.reached for o in outcomes if isinstance(o, Appended)} == {"memory"}


async def test_disks(kind: Kind, rack: Rack) -> None:
    server = rack.start(kind, appendonly="yes", appendfsync="always")
    acks, hasty = Acks(AckLevel.FSYNC, 1, PATIENT), Acks(AckLevel.FSYNC, 1, 100)
    if not kind.has_waitaof:
        with pytest.raises(StoreError, match=r"does not report what is on its disk.*Redis 7\.2"):
            await RedisStore(server.url(), acks=acks).open(Recorder())
        return
    one, other = (RedisStore(server.url(), acks=each) for each in (acks, hasty))
    async with opened(one), opened(other):
        assert [o.reached for o in await publish(one, item(), item())] == ["fsync"] * 2
        server.ask("CONFIG", "SET", "appendfsync", "no")
        assert [o.reached for o in await publish(other, item())] == ["memory"]


@pytest.mark.parametrize(
    ("appendonly", "appendfsync", "advice"),
    [("no", "always", "appendonly yes"), ("yes", "everysec", "appendfsync always")],
)
async def test_a_server_whose_word_on_its_disk_is_worth_nothing(
    rack: Rack, appendonly: str, appendfsync: str, advice: str
) -> None:
    server = rack.start(KINDS["valkey9"], appendonly=appendonly, appendfsync=appendfsync)
    with pytest.raises(StoreError, match=advice):
        await RedisStore(server.url(), acks=Acks(AckLevel.FSYNC)).open(Recorder())
