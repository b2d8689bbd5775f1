"""A Redis that would lose events untold is refused, or told of while it works."""

from __future__ import annotations

import pytest
import structlog

from pushhub.store.base import StoreError
from pushhub.store.redis.store import RedisStore
from tests.redis_servers import KINDS, Kind, Rack, RedisServer
from tests.store.labs import item, opened, publish
from tests.waiting import until


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


async def refusal(server: RedisServer) -> str:
    with pytest.raises(StoreError) as caught:
        async with opened(RedisStore(server.url())):
            pass
    return str(caught.value)


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-random"])
async def test_a_redis_that_evicts_logs_is_refused(kind: Kind, rack: Rack, policy: str) -> None:
    server = rack.start(kind, maxmemory_policy=policy)
    said = await refusal(server)
    assert policy in said
    assert "--store-may-evict" in said
    # CONFIG is often forbidden, and not needed.
    server.ask("ACL", "SETUSER", "default", "-config")
    assert policy in await refusal(server)
    store = RedisStore(server.url(), may_evict=True)
    async with opened(store):
        await publish(store, item())
        assert store.evicts


async def test_what_expires_may_be_evicted(kind: Kind, rack: Rack) -> None:
    async with opened(RedisStore(rack.start(kind, maxmemory_policy="volatile-lru").url())) as store:
        assert isinstance(store, RedisStore)
        await publish(store, item())
        assert not store.evicts


async def test_a_redis_that_begins_to_evict_is_told_of_once(rack: Rack) -> None:
    server = rack.start(KINDS["valkey9"])
    store = RedisStore(server.url())
    with structlog.testing.capture_logs() as logs:
        async with opened(store):
            server.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
            await until(lambda: store.evicts)
            server.ask("CONFIG", "RESETSTAT")
            await until(lambda: server.calls("info") > 3)
            server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
            await until(lambda: not store.evicts)
    assert [log["event"] for log in logs] == ["redis.evicts", "redis.no_eviction"]


async def test_a_node_of_a_cluster_is_refused(kind: Kind, rack: Rack) -> None:
    server = rack.start(kind, cluster_enabled="yes")
    assert "node of a cluster" in await refusal(server)


async def test_a_changed_password_is_logged_once(rack: Rack) -> None:
    server = rack.start(KINDS["valkey9"])
    async with opened(RedisStore(server.url())) as store:
        with structlog.testing.capture_logs() as logs:
            server.ask("CONFIG", "SET", "requirepass", "new")
            with server.client(password="new") as client:
                client.execute_command("CLIENT", "KILL", "TYPE", "normal")  # type: ignore[no-untyped-call]

            def said(level: str) -> list[str]:
                return [
                    str(log["error"])
                    for log in logs
                    if log["event"] == "redis.unreachable"
                    and log["connection"] == "commands"
                    and log["log_level"] == level
                ]

            await until(lambda: len(said("debug")) >= 2)
            assert len(said("warning")) == 1
            assert "Authentication required" in said("warning")[0]
            with server.client(password="new") as client:
                client.config_set("requirepass", "")
            await until(lambda: store.ready)
