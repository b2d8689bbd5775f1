"""A revocation that was acknowledged holds after a failover of Sentinel, also one that the new
master never received.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
import redis

from tests.api.test_auth import bearer
from tests.api.test_revocation import SETTINGS, _by_jti, _by_subject, revoke, waiting
from tests.proxy import Proxy
from tests.redis_servers import KINDS, rack
from tests.serving import Server, events_of, fresh, serve
from tests.waiting import until

if TYPE_CHECKING:
    from typing import Any

    from tests.redis_servers import Rack, RedisServer

__all__ = ["rack"]

# Sentinel's least time for a master that is away; a failover takes some seconds more.
DOWN_MILLISECONDS = 1000


async def status(server: Server, credential: str) -> int:
    return (await server.get(events_of("a"), **bearer(credential))).status


def is_master(server: RedisServer) -> bool:
    try:
        return bool(server.info("replication")["role"] == "master")
    except redis.ConnectionError:
        # Sentinel closes the connections of the server that it promotes.
        return False


@pytest.mark.parametrize("made", [_by_jti, _by_subject], ids=["jti", "sub"])
async def test_an_acknowledged_revocation_survives_a_failover_that_loses_it(
    rack: Rack,
    made: Any,
) -> None:
    kind = next(iter(KINDS.values()))
    master, replica = rack.start(kind), rack.start(kind)
    async with Proxy(master.port) as proxy:
        await asyncio.to_thread(replica.ask, "REPLICAOF", "127.0.0.1", proxy.port)
        await until(lambda: replica.info("replication")["master_link_status"] == "up")
        await until(lambda: replica.caught_up_with(master))
        sentinel = rack.start(kind, sentinel=True)
        sentinel.ask("SENTINEL", "MONITOR", "hub", "127.0.0.1", master.port, "1")
        sentinel.ask("SENTINEL", "SET", "hub", "down-after-milliseconds", DOWN_MILLISECONDS)
        await until(lambda: sentinel.ask("SENTINEL", "REPLICAS", "hub"))
        store = f"redis+sentinel://127.0.0.1:{sentinel.port}/hub/0"
        credential, entry = made()
        kept, _ = made()
        with serve(store=store, **SETTINGS) as one, serve(store=store, **SETTINGS) as two:
            before = fresh("token")
            assert (await revoke(one, jti=before, exp=time.time() + 600)).status == 200
            await until(lambda: replica.caught_up_with(master))
            async with waiting(two, events_of("a") + "?wait=55", credential) as there:
                # What the master writes from now on reaches no replica.
                for passage in proxy.passages:
                    passage.mute = True
                assert (await revoke(one, **entry)).status == 200
                assert (await asyncio.wait_for(there, 10)).problem == "revoked"
            master.kill()
            await until(lambda: is_master(replica), 60)

            async def recovers(server: Server) -> None:
                async with asyncio.timeout(60):
                    while (await server.get("/readyz")).status != 200:  # noqa: ASYNC110
                        await asyncio.sleep(0.05)

            await asyncio.gather(recovers(one), recovers(two))
            for server in (one, two):
                assert await status(server, credential) == 401
                assert await status(server, kept) == 200
            began = time.monotonic()
            async with asyncio.timeout(20):
                while True:
                    # A node that starts now knows no more than the new master.
                    with serve(store=store, **SETTINGS) as three:
                        if await status(three, credential) == 401:
                            break
            print(f"written again within {time.monotonic() - began:.1f} s of readiness")
