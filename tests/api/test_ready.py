"""`/readyz` while the store takes no events, though it can be read: a full disk, a Redis that
refuses."""

from __future__ import annotations

import asyncio
import os
import re
import resource
from typing import TYPE_CHECKING, Any

import pytest

from tests.api.test_auth import ADMIN, KEYS, WRITER, bearer
from tests.peers.gate import control_of
from tests.serving import Server, events_of, serve
from tests.wire import Client

if TYPE_CHECKING:
    from pathlib import Path

    from tests.redis_servers import Shelf

SECONDS = 20.0
BIG = "x" * 200_000


def limit_files(server: Server, size: int) -> None:
    """As if the disk had no room for files that are larger."""
    _, hard = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (size, hard))


async def ready(server: Server) -> tuple[int, dict[str, Any]]:
    answer = await server.get("/readyz")
    body: dict[str, Any] = answer.json()
    return answer.status, body


async def until_written(server: Server) -> None:
    async with asyncio.timeout(SECONDS):
        while not (await ready(server))[1]["writes"]["ok"]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs Linux")
@pytest.mark.parametrize("strict", [False, True])
async def test_readyz_shows_a_full_disk_and_its_end(tmp_path: Path, strict: bool) -> None:
    path = tmp_path / "log.db"
    with serve("front", f"sqlite:///{path}", ready_writes=strict) as server:
        await server.publish("a", "1")
        assert await ready(server) == (
            200,
            {
                "ready": True,
                "leaving": False,
                "store": True,
                "reads": {"ok": True},
                "writes": {"ok": True},
            },
        )
        limit_files(server, os.stat(f"{path}-wal").st_size + 4096)
        answer = await server.post(events_of("a"), BIG)
        assert (answer.status, answer.problem) == (503, "store-unavailable")
        status, body = await ready(server)
        assert (status, body["ready"]) == ((503, False) if strict else (200, True))
        assert (body["reads"], body["writes"]["ok"]) == ({"ok": True}, False)
        assert body["writes"]["reason"] in ("disk-full", "io")
        assert "cannot be written" in body["writes"]["detail"]
        assert await server.metric("pushhub_store_writable") == 0
        refused = f'pushhub_store_refused_total{{reason="{body["writes"]["reason"]}"}}'
        assert await server.metric(refused) >= 1
        assert await server.log("a") == ["1"]
        limit_files(server, resource.RLIM_INFINITY)
        # A probe finds it out: a node without requests comes back.
        await until_written(server)
        assert (await ready(server))[0] == 200
        assert await server.metric("pushhub_store_writable") == 1
        await server.publish("a", BIG)
        listed = (await server.get("/v1/channels")).json()["channels"]
        assert [info["channel"] for info in listed] == ["a"]
        assert_logged_once(server, "store.writes_fail", "store.write_failed")


async def test_readyz_shows_a_redis_that_refuses(redis_shelf: Shelf) -> None:
    redis = redis_shelf.server("valkey9")
    with serve("front", redis.url(), ready_writes=True) as server:
        await server.publish("a", "1")
        redis.ask("CONFIG", "SET", "min-replicas-to-write", "1")
        try:
            answer = await server.post(events_of("a"), "2")
            assert answer.status == 503
            status, body = await ready(server)
            assert (status, body["reads"]) == (503, {"ok": True})
            assert body["writes"]["reason"] == "noreplicas"
        finally:
            redis.ask("CONFIG", "SET", "min-replicas-to-write", "0")
        await until_written(server)
        assert (await ready(server))[0] == 200
        assert_logged_once(server, "store.writes_fail", "redis.refused")


async def test_where_the_store_is_is_for_the_operator_alone(tmp_path: Path) -> None:
    path = tmp_path / "secret-name.db"
    with serve(store=f"sqlite:///{path}", dev=False, api_keys=KEYS, metrics_public=True) as server:
        await server.publish("news:a", "1", **bearer(WRITER))
        path.rename(tmp_path / "elsewhere.db")
        refused = await server.post(events_of("news:a"), "2", **bearer(WRITER))
        assert (refused.status, refused.problem) == (503, "store-unavailable")
        public = "The store's file was removed or replaced."
        assert refused.json()["detail"] == public
        for headers in ({}, bearer(WRITER), bearer("phk_" + "x" * 43)):
            answer = await server.get("/readyz", **headers)
            assert answer.status == 200
            told = {"ok": False, "reason": "replaced", "detail": public}
            assert answer.json()["writes"] == told
        own = (await server.get("/readyz", **bearer(ADMIN))).json()["writes"]
        assert str(path) in own["detail"]
        (tmp_path / "elsewhere.db").rename(path)
        logged = server.output.find(re.compile('.*"store.writes_fail"'), SECONDS)
        assert str(path) in logged[0]
        assert_logged_once(server, "store.writes_fail", "store.write_failed")


async def test_the_control_listener_shows_why(tmp_path: Path) -> None:
    path = tmp_path / "secret-name.db"
    store = f"sqlite:///{path}"
    with serve(store=store, dev=False, api_keys=KEYS, control="127.0.0.1:0") as server:
        await server.publish("news:a", "1", **bearer(WRITER))
        path.rename(tmp_path / "elsewhere.db")
        assert (await server.post(events_of("news:a"), "2", **bearer(WRITER))).status == 503
        async with await Client.connect(control_of(server)) as client:
            told = await client.ask("GET", "/readyz")
            assert str(path) in told.json()["writes"]["detail"]
            # A page of another site is no operator.
            told = await client.ask("GET", "/readyz", {"Origin": "https://example.localhost"})
            assert str(path) not in told.body.decode()
        (tmp_path / "elsewhere.db").rename(path)
        assert_logged_once(server, "store.writes_fail", "store.write_failed")


def assert_logged_once(server: Server, event: str, *errors: str) -> None:
    """It was said once; the store's own errors are taken out, which `check` would not have. They
    come before it."""
    server.output.find(re.compile(f'"{event}"'), SECONDS)
    lines = server.output.lines
    assert sum(f'"{event}"' in line for line in lines) == 1, str(server.output)
    lines[:] = [line for line in lines if not any(f'"{error}"' in line for error in errors)]
