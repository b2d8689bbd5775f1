"""A store that refuses everything says so, and does not fill the log."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest
import structlog

from pushhub.store.base import StoreUnavailable, append
from pushhub.store.redis.store import RedisStore
from pushhub.store.refusals import LOG_SECONDS, RefusalLog
from pushhub.store.sqlite.store import SqliteStore
from tests.redis_servers import KINDS, Shelf
from tests.store.labs import item, opened, publish

if TYPE_CHECKING:
    from pathlib import Path


def test_each_reason_is_a_line_a_minute_with_a_count() -> None:
    lines: list[tuple[str, str, int]] = []
    refusals = RefusalLog[str](lambda *line: lines.append(line))
    for number in range(600):
        refusals.note("oom", f"oom {number}", 1000 + number / 10)
        refusals.note("other", "what", 1000 + number / 10)
    assert lines == [("oom", "oom 0", 1), ("other", "what", 1)]
    refusals.expire(1000 + LOG_SECONDS)
    assert lines[2:] == [("oom", "oom 599", 599), ("other", "what", 599)]
    # A minute without one ends the matter; the next refusal is a new one.
    refusals.expire(1000 + 2 * LOG_SECONDS)
    refusals.expire(1000 + 3 * LOG_SECONDS)
    assert len(lines) == 4
    refusals.note("oom", "again", 1001 + 3 * LOG_SECONDS)
    assert lines[4:] == [("oom", "again", 1)]


def test_refusals_without_a_pause_are_a_line_a_minute_too() -> None:
    lines: list[tuple[str, str, int]] = []
    refusals = RefusalLog[str](lambda *line: lines.append(line))
    for second in range(601):
        refusals.note("oom", "", second)
    assert [count for _, _, count in lines] == [1, *[60] * 10]
    refusals.note("oom", "", 602)
    refusals.close()
    assert sum(count for _, _, count in lines) == 602


@pytest.mark.parametrize("kind", KINDS)
async def test_a_redis_that_refuses_every_publish_is_two_lines(
    kind: str, redis_shelf: Shelf
) -> None:
    server = redis_shelf.server(kind)
    with structlog.testing.capture_logs() as logs:
        async with opened(RedisStore(server.url())) as store:
            server.ask("CONFIG", "SET", "maxmemory", "1")
            try:
                outcomes = await append(store, *[item() for _ in range(500)])
            finally:
                server.ask("CONFIG", "SET", "maxmemory", "0")
            assert {
                one.reason if isinstance(one, StoreUnavailable) else "" for one in outcomes
            } == {"oom"}
    told = [entry for entry in logs if entry["event"] == "redis.refused"]
    assert [(entry["reason"], entry["count"]) for entry in told] == [
        ("oom", 1),
        ("oom", 499),
    ]
    assert "OOM" in told[0]["error"]


@pytest.mark.parametrize("kind", KINDS)
async def test_redis_asks_for_replicas_in_scripts_from_version_7_on(
    kind: str, redis_shelf: Shelf
) -> None:
    """What docs/deploy-redis.md says of `min-replicas-to-write`."""
    server = redis_shelf.server(kind)
    async with opened(RedisStore(server.url())) as store:
        server.ask("CONFIG", "SET", "min-replicas-to-write", "1")
        try:
            [outcome] = await append(store, item())
        finally:
            server.ask("CONFIG", "SET", "min-replicas-to-write", "0")
    assert isinstance(outcome, StoreUnavailable) is (kind != "redis62")


async def test_a_sidecar_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    store = SqliteStore(str(tmp_path / "log.db"))
    with structlog.testing.capture_logs() as logs:
        async with opened(store):
            sidecar = store._file.sidecar._fd
            kept, readonly = os.dup(sidecar), os.open(os.devnull, os.O_RDONLY)
            os.dup2(readonly, sidecar)
            for _ in range(5):
                await publish(store, item())
            os.dup2(kept, sidecar)
            await publish(store, item())
            os.dup2(readonly, sidecar)
            await publish(store, item())
            os.dup2(kept, sidecar)
            os.close(kept)
            os.close(readonly)
    assert [entry["event"] for entry in logs] == ["store.sidecar_failed"] * 2


async def test_a_redis_that_drops_each_connection_is_asked_after_a_pause(
    redis_shelf: Shelf,
) -> None:
    server = redis_shelf.server("valkey9")
    loop = asyncio.get_running_loop()
    with structlog.testing.capture_logs() as logs:
        async with opened(RedisStore(server.url())):
            end = loop.time() + 2.0
            while loop.time() < end:
                await asyncio.to_thread(server.ask, "CLIENT", "KILL", "TYPE", "normal")
                await asyncio.sleep(0.005)
    connected = [entry for entry in logs if entry["event"] == "redis.connected"]
    # The pauses double from 0.05 s, and are shortened at random by up to a half.
    assert 1 <= len(connected) <= 12, len(connected)
