"""One rate for all processes: on a real Redis, and with a share while it is away."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from pushhub.auth.rate_limit import Rate
from pushhub.auth.shared_rate import SharedRateLimit
from pushhub.store.base import SharedTokens
from pushhub.store.redis.store import RedisStore
from tests.redis_servers import KINDS
from tests.serving import events_of, fresh, serve
from tests.store.labs import Recorder, opened
from tests.waiting import until

if TYPE_CHECKING:
    from tests.redis_servers import RedisServer, Shelf

BURST, PART = 100, 10
# So slow that nothing comes back during a test.
SLOW = Rate.per_second(0.001, BURST)


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest, redis_shelf: Shelf) -> RedisServer:
    return redis_shelf.server(request.param)


async def settled(*limits: SharedRateLimit) -> None:
    """Wait for the replies of the store."""
    leases = [lease for limit in limits for lease in limit._leases.values()]
    await until(lambda: not any(lease.is_calling for lease in leases))


async def test_processes_share_a_rate(server: RedisServer) -> None:
    async with AsyncExitStack() as stack:
        limits = []
        for name in ("one", "two"):
            store: Any = await stack.enter_async_context(
                opened(RedisStore(server.url()), Recorder())
            )
            limits.append(SharedRateLimit("address-requests", SLOW, 100, store, name))
        allowed = 0
        for _ in range(BURST):
            for limit in limits:
                allowed += limit.admit("203.0.113.1", 0.0).allowed
            await settled(*limits)
        assert BURST <= allowed <= BURST + 2 * PART
        refused = limits[0].admit("203.0.113.1", 0.0)
        assert not refused.allowed
        assert 0 < refused.wait <= 1000 * BURST
        assert limits[0].admit("203.0.113.2", 0.0).allowed
        assert [limit.processes for limit in limits] == [2, 2]
        with server.client() as client:
            keys = list(client.scan_iter("ph:rl:address-requests:*"))
            assert len(keys) == 1, "a key that uses little costs no call"
            assert b"203.0.113" not in keys[0], "an address is not stored"
            assert 0 < client.pttl(keys[0]) <= 1000 * 1000 * (BURST + 3 * PART)


async def test_the_share_while_redis_is_away(server: RedisServer) -> None:
    async with opened(RedisStore(server.url()), Recorder()) as store:
        assert isinstance(store, SharedTokens)
        limit = SharedRateLimit("address-requests", SLOW, 100, store, "one")
        other = SharedRateLimit("address-requests", SLOW, 100, store, "two")
        for each in (other, limit):
            for _ in range(PART):
                assert each.admit("warm", 0.0).allowed
            await settled(each)
        assert limit.processes == 2
        server.kill()
        allowed = 0
        for _ in range(3 * BURST):
            allowed += limit.admit("k", 0.0).allowed
            await settled(limit)
        assert limit.degraded > 0
        assert BURST / 2 <= allowed <= BURST / 2 + PART, "neither all nor none"
        server.start()


async def test_nodes_count_one_address_together(redis_shelf: Shelf) -> None:
    redis = redis_shelf.server("valkey9")
    limits = {"address-requests": {"rate": 0.001, "burst": 40}}
    settings: dict[str, Any] = {
        **{"store": redis.url(), "dev": True, "limits": limits},
        "trusted_proxies": ["127.0.0.1/32"],
    }
    with serve(**settings) as one, serve(**settings) as two:
        statuses = []
        for _ in range(35):
            for node in (one, two):
                response = await node.get(events_of(fresh()), x_forwarded_for="203.0.113.1")
                statuses.append(response.status)
        assert 40 <= statuses.count(200) <= 40 + 2 * 4 + 2
        assert statuses[-4:] == [429] * 4
        response = await two.get(events_of(fresh()), x_forwarded_for="203.0.113.2")
        assert response.status == 200
