"""The faults, and what each of them does to the servers."""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio import to_thread as thread
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import redis

from pushhub.store.redis.fence import Fence
from tests.faults.stage import Scenario, Stage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.proxy import Proxy
    from tests.redis_servers import RedisServer

AOF = {"appendonly": "yes", "appendfsync": "everysec"}


# -- one server ----------------------------------------------------------------


def single(**options: str) -> Callable[[Stage], Awaitable[str]]:
    """One server of these options."""

    async def prepare(stage: Stage) -> str:
        return (await stage.start_redis(options)).url()

    return prepare


async def through_proxy(stage: Stage) -> str:
    """One server, reached through a proxy."""
    server = await stage.start_redis({})
    return f"redis://127.0.0.1:{(await stage.start_proxy(server.port)).port}/0"


async def crash(stage: Stage) -> None:
    """SIGKILL, and a start half a second later."""
    server = stage.redis[0]
    stage.fault()
    await thread(server.kill)
    await asyncio.sleep(0.5)
    await thread(server.start)
    stage.heal()


async def shut_down(server: RedisServer) -> None:
    """SIGTERM, and a start when it has ended."""
    server.signal(signal.SIGTERM)
    assert server.process is not None
    await thread(server.process.wait, 20)
    server.process = None
    await thread(server.start)


async def restart(stage: Stage) -> None:
    """A clean restart, without a word to pushhub."""
    stage.fault()
    await shut_down(stage.redis[0])
    stage.heal()


async def restart_fenced(stage: Stage) -> None:
    """A clean restart behind a fence."""
    server = stage.redis[0]
    fence = Fence(server.url(), 60)
    stage.fault()
    await fence.set()
    await fence.keep()
    await shut_down(server)
    assert await fence.restarted()
    assert await fence.lift()
    await fence.close()
    stage.heal()


async def stop(stage: Stage) -> None:
    """SIGSTOP: connections stay, and nobody answers."""
    stage.fault()
    stage.redis[0].signal(signal.SIGSTOP)
    await asyncio.sleep(10 if stage.long else 4)
    stage.redis[0].signal(signal.SIGCONT)
    stage.heal()


async def flush(stage: Stage) -> None:
    stage.fault()
    await thread(stage.redis[0].ask, "FLUSHALL")
    stage.heal()


async def kill_pubsub(stage: Stage) -> None:
    """The subscribers' connections alone, some times in a row."""
    stage.fault()
    for _ in range(5):
        await thread(stage.redis[0].ask, "CLIENT", "KILL", "TYPE", "pubsub")
        await asyncio.sleep(0.1)
    stage.heal()


# -- the network ---------------------------------------------------------------


async def delay(stage: Stage) -> None:
    """A tenth of a second each way."""
    stage.fault()
    stage.proxies[0].delay(0.1)
    await asyncio.sleep(2)
    stage.proxies[0].delay(0.0)
    stage.heal()


async def cut(stage: Stage) -> None:
    """Resets, then a second without a network."""
    stage.fault()
    for _ in range(3):
        stage.proxies[0].cut()
        await asyncio.sleep(0.2)
    stage.proxies[0].part()
    await asyncio.sleep(1)
    stage.proxies[0].join()
    stage.heal()


async def half_open(stage: Stage) -> None:
    """The connections that there are pass nothing any more; new ones would."""
    stage.fault()
    stage.proxies[0].half_open()
    stage.heal()


async def swallow(stage: Stage) -> None:
    """Every pub/sub message of a second is lost; the connection stays."""
    stage.fault()
    stage.proxies[0].swallows = True
    await asyncio.sleep(1)
    stage.proxies[0].swallows = False
    stage.heal()


# -- master and replica --------------------------------------------------------


async def pair(stage: Stage) -> str:
    """A master, a replica that reaches it through a proxy, and a proxy that leads to the master."""
    a, b = [await stage.start_redis({"repl_backlog_size": "16mb"}) for _ in range(2)]
    front = await stage.start_proxy(a.port)
    for server in (a, b):
        await stage.start_proxy(server.port)
    await follow(b, stage.proxies[1])
    await thread(b.until, lambda: b.caught_up_with(a))
    return f"redis://127.0.0.1:{front.port}/0"


async def follow(server: RedisServer, link: Proxy | None) -> None:
    """Become a replica of whom the proxy leads to, or a master."""
    to = ("NO", "ONE") if link is None else ("127.0.0.1", link.port)
    await thread(server.ask, "REPLICAOF", *to)


async def linked(server: RedisServer, *, up: bool) -> None:
    state = "up" if up else "down"
    await thread(
        server.until, lambda: server.info("replication").get("master_link_status") == state
    )


async def promote(stage: Stage) -> None:
    """The replica is cut off, misses what is acknowledged, and is promoted over the dead master."""
    front = stage.proxies[0]
    a, b = stage.redis
    if front.target == b.port:
        a, b = b, a
    link = stage.proxies[1 + stage.redis.index(a)]
    stage.fault()
    link.part()
    await asyncio.sleep(0.5)
    await thread(a.kill)
    await follow(b, None)
    front.cut()
    front.join(b.port)
    stage.heal()
    # The dead one comes back as a replica of the living: the next round goes the other way.
    link.join()
    await thread(a.start)
    await follow(a, stage.proxies[1 + stage.redis.index(b)])
    await linked(a, up=True)


async def fail_back(stage: Stage) -> None:
    """A→B→A. A is switched to B with a partial resync, misses B's last events, and leads again.

    In the first round it misses all that was written to B, even that B has an epoch of its own:
    then the replication id alone tells.
    """
    front, link_a, link_b = stage.proxies
    a, b = stage.redis
    stage.fault()
    # Clean: nothing is written while the roles change, and A follows on without a full copy.
    front.part()
    await thread(b.until, lambda: b.caught_up_with(a))
    await follow(b, None)
    await follow(a, link_b)
    await linked(a, up=True)
    assert b.info("stats")["sync_partial_ok"] >= 1, b.info("stats")
    if stage.strikes == 0:
        link_b.part()
    front.join(b.port)
    await asyncio.sleep(1)
    # B acknowledges what A will never see.
    link_b.part()
    await asyncio.sleep(0.5)
    front.part()
    await thread(b.kill)
    await follow(a, None)
    front.join(a.port)
    stage.heal()
    link_b.join()
    await thread(b.start)
    await follow(b, link_a)
    await linked(b, up=True)


async def watched(stage: Stage, replicas: int = 1) -> str:
    """A master, replicas, and three sentinels."""
    a, *others = [await stage.start_redis({}) for _ in range(1 + replicas)]
    for b in others:
        await thread(b.follow, a)
        await thread(b.until, partial(b.caught_up_with, a))
    stage.sentinels = [await stage.start_sentinel() for _ in range(3)]
    for sentinel in stage.sentinels:
        await thread(sentinel.ask, "SENTINEL", "MONITOR", "main", "127.0.0.1", a.port, 2)
        for name, text in {"down-after-milliseconds": 1000, "failover-timeout": 5000}.items():
            await thread(sentinel.ask, "SENTINEL", "SET", "main", name, text)
    await thread(sentinel.until, lambda: all(_knows_all(one, replicas) for one in stage.sentinels))
    hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in stage.sentinels)
    return f"redis+sentinel://{hosts}/main/0"


async def watched_by_two(stage: Stage) -> str:
    """The same, with two replicas."""
    return await watched(stage, 2)


def _knows_all(sentinel: RedisServer, replicas: int) -> bool:
    master = sentinel.info("sentinel")["master0"]
    return bool(master["slaves"] == replicas and master["sentinels"] == 3)


def _master(sentinel: RedisServer) -> int:
    return int(sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main")[1])


async def fail_over(stage: Stage) -> None:
    """The master is killed; the sentinels promote its replica."""
    sentinel = stage.sentinels[0]
    port = await thread(_master, sentinel)
    dead = next(server for server in stage.redis if server.port == port)
    stage.fault()
    await thread(dead.kill)
    await thread(sentinel.until, lambda: _master(sentinel) != port, 30.0)
    stage.heal()
    # It comes back, and the sentinels make it a replica; but a sentinel that still took it for the
    # master would make a replica of the other.
    await thread(sentinel.until, lambda: all(_master(s) != port for s in stage.sentinels), 30.0)
    await thread(dead.start)
    if stage.long:
        await thread(dead.until, lambda: dead.info("replication")["role"] == "slave", 30.0)
        await linked(dead, up=True)


def _is_replica(server: RedisServer) -> bool:
    # Sentinel has a server that it demotes reset its clients.
    with suppress(redis.RedisError):
        return bool(server.info("replication")["role"] == "slave")
    return False


async def switch_over(stage: Stage) -> None:
    """An operator moves the master, which lives on: Sentinel demotes it only some 10 s later."""
    sentinel = stage.sentinels[0]
    port = await thread(_master, sentinel)
    old = next(server for server in stage.redis if server.port == port)
    stage.fault()
    await thread(sentinel.ask, "SENTINEL", "FAILOVER", "main")
    await thread(sentinel.until, lambda: _master(sentinel) != port, 30.0)
    await thread(old.until, lambda: _is_replica(old), 30.0)
    stage.heal()
    await thread(sentinel.until, lambda: all(_master(s) != port for s in stage.sentinels), 30.0)
    await linked(old, up=True)


async def switch_over_fenced(stage: Stage) -> None:
    """The same behind a fence, so that the new master goes on in the same epoch."""
    sentinel = stage.sentinels[0]
    port = await thread(_master, sentinel)
    old = next(server for server in stage.redis if server.port == port)
    new = next(server for server in stage.redis if server.port != port)
    hosts = ",".join(f"127.0.0.1:{one.port}" for one in stage.sentinels)
    fence = Fence(f"redis+sentinel://{hosts}/main/0", 60)
    stage.fault()
    await fence.set()
    await thread(new.until, lambda: new.caught_up_with(old))
    await thread(sentinel.ask, "SENTINEL", "FAILOVER", "main")
    assert await fence.restarted()
    assert await fence.lift()
    await fence.close()
    stage.heal()
    await thread(old.until, lambda: _is_replica(old), 30.0)
    await linked(old, up=True)


# -- the nodes themselves ------------------------------------------------------


async def terminate(stage: Stage) -> None:
    """SIGTERM of one of two nodes under load; it comes back a second later."""
    node = stage.nodes[0]
    stage.fault()
    await node.leave()
    stage.heal()
    await asyncio.sleep(0.5)
    await node.start()


async def roll(stage: Stage) -> None:
    """One node after the other is replaced; each time the other one serves."""
    for node in stage.nodes:
        stage.fault()
        await node.leave()
        await node.start()
        await node.ready()
        stage.heal()


async def kill_node(stage: Stage) -> None:
    """SIGKILL of one of two nodes under load."""
    node = stage.nodes[0]
    stage.fault()
    await node.kill()
    stage.heal()
    await asyncio.sleep(0.5)
    await node.start()


async def kill_worker(stage: Stage) -> None:
    """SIGKILL of one of the workers, with its holds."""
    worker = stage.nodes[0].workers()[0]
    stage.fault()
    os.kill(worker, signal.SIGKILL)
    stage.heal()
    # Connections that the kernel gave to the dead one wait for the one that takes its place.
    begun = stage.book.now()
    await thread(stage.nodes[0].until_workers, 2, worker)
    stage.started_in = max(stage.started_in, stage.book.now() - begun)


AWAY = 6.0
"""A pause between two attempts to connect is up to two seconds, and each reader of a log that was
away waits a second before it asks again."""

SCENARIOS = {
    scenario.name: scenario
    for scenario in [
        Scenario(
            "kill-aof",
            "Redis SIGKILL and restart, `appendfsync everysec`",
            crash,
            single(**AOF),
            loses=True,
        ),
        Scenario(
            "kill-fsync",
            "the same, `appendfsync always` and `ack = fsync`",
            crash,
            single(appendonly="yes", appendfsync="always"),
            loses=True,
            settings={"ack": "fsync"},
        ),
        Scenario(
            "restart", "clean restart, `appendfsync everysec`", restart, single(**AOF), loses=True
        ),
        Scenario(
            "restart-fenced",
            "the same behind `pushhub store fence`",
            restart_fenced,
            single(**AOF),
            recovers_in=AWAY,
        ),
        Scenario(
            "restart-fenced-snapshot",
            "the same without an AOF",
            restart_fenced,
            single(),
            recovers_in=AWAY,
        ),
        Scenario("kill-no-aof", "Redis SIGKILL and restart, no AOF", crash, single(), loses=True),
        Scenario("stop", "Redis SIGSTOP", stop, single(), recovers_in=AWAY),
        Scenario("flushall", "FLUSHALL", flush, single(), loses=True),
        Scenario("kill-pubsub", "`CLIENT KILL TYPE pubsub`", kill_pubsub, single()),
        Scenario("promote", "promotion of a replica that misses events", promote, pair, loses=True),
        Scenario(
            "promote-replicated",
            "the same, `ack = replicated`",
            promote,
            pair,
            loses=True,
            settings={"ack": "replicated"},
        ),
        Scenario("fail-back", "A→B→A with a partial resync", fail_back, pair, loses=True),
        Scenario("sentinel", "failover by Sentinel", fail_over, watched, loses=True),
        Scenario(
            "sentinel-planned", "planned failover by Sentinel", switch_over, watched, loses=True
        ),
        Scenario(
            "sentinel-planned-replicated",
            "the same with two replicas, `ack = replicated`",
            switch_over,
            watched_by_two,
            loses=True,
            settings={"ack": "replicated"},
        ),
        Scenario(
            "sentinel-fenced",
            "planned failover behind `pushhub store fence`",
            switch_over_fenced,
            watched,
            recovers_in=AWAY,
        ),
        Scenario("delay", "0.1 s of delay each way", delay, through_proxy),
        Scenario("cut", "connections reset, 1 s without a network", cut, through_proxy),
        Scenario("half-open", "half-open connections", half_open, through_proxy, recovers_in=AWAY),
        Scenario("swallow", "1 s of pub/sub messages lost", swallow, through_proxy),
        Scenario("terminate", "SIGTERM of one of two nodes", terminate, single()),
        Scenario(
            "kill-node", "SIGKILL of one of two nodes", kill_node, single(), leaves_well=False
        ),
        Scenario("rolling", "rolling restart of two nodes", roll, single()),
        Scenario(
            "kill-worker",
            "SIGKILL of one of two workers",
            kill_worker,
            single(),
            nodes=1,
            settings={"workers": 2},
            leaves_well=False,
        ),
    ]
}
