"""SIGTERM: readiness ends first, then each hold gets a full response, then the process exits."""

import asyncio
import json
import signal
import sqlite3
import time
from pathlib import Path

import h11
import pytest

from tests.serving import SOON, Server, events_of, fresh, serve, value_of
from tests.wire import Client, EventStream

HOLDS = 1000


async def hold_many(server: Server, count: int) -> tuple[list[Client], list[EventStream]]:
    """Values, feeds, polls of many channels, and streams, mixed: those that poll, and the rest."""
    channel = fresh()
    cursor = (await server.publish(channel, "before"))["cursor"]
    many = json.dumps({"channels": {channel: cursor, fresh(): "now"}, "wait": 50}).encode()
    polls: list[Client] = []
    streams: list[EventStream] = []
    for number in range(count):
        client = await server.connect()
        kind = number % 4
        if kind == 0:
            headers = {"if-none-match": f'"{cursor}"', "prefer": "wait=50"}
            client.send("GET", value_of(channel), headers)
        elif kind == 1:
            client.send("GET", f"{events_of(channel)}?since={cursor}&wait=50")
        elif kind == 2:
            client.send("POST", "/v1/poll", body=many)
        else:
            client.send("GET", f"{events_of(channel)}?since=now", {"accept": "text/event-stream"})
            assert (await client.head())[0] == 200
            streams.append(EventStream(client))
            await streams[-1].next()
            continue
        polls.append(client)
    await server.held(count)
    return polls, streams


async def all_end_well(polls: list[Client], streams: list[EventStream]) -> None:
    """Everybody is told the ordinary nothing, and when to come back."""
    for client in polls:
        answer = await client.receive()
        assert answer.status in (200, 304), answer
        assert answer.headers["connection"] == "close"
        assert answer.headers["preference-applied"] == "wait=50"
        if answer.status == 304:
            assert int(answer.headers["x-poll-interval"]) >= 1
        else:
            assert answer.json()["events"] == []
            assert answer.json()["retry_ms"] >= 200
        assert await client.reader.read() == b""
        client.close()
    for stream in streams:
        last = await stream.next()
        assert (last.retry or 0) >= 200
        with pytest.raises(StopAsyncIteration):
            await stream.next()
        stream.client.close()


@pytest.mark.parametrize("store", ["memory", "sqlite"])
async def test_every_hold_gets_a_complete_response_and_the_process_exits_with_0(
    store: str, tmp_path: Path
) -> None:
    url = "memory://" if store == "memory" else f"sqlite:///{tmp_path / 'hub.db'}"
    with serve("front", url, drain_delay=2.0, drain_seconds=1.0) as server:
        polls, streams = await hold_many(server, HOLDS)
        async with await server.connect() as watcher:
            assert (await watcher.ask("GET", "/readyz")).status == 200
            begun = time.monotonic()
            server.signal(signal.SIGTERM)
            while (ready := await watcher.ask("GET", "/readyz")).status == 200:
                assert time.monotonic() - begun < 2.0
            works = {"ok": True}
            assert ready.json() == {
                "ready": False,
                "leaving": True,
                "store": True,
                "reads": works,
                "writes": works,
            }
            # Readiness is first: nobody was answered, and who comes is served.
            assert await server.metric("pushhub_holds") == HOLDS
            late = await server.publish(fresh(), "late")
            assert late["offset"] == 1
        await all_end_well(polls, streams)
        assert await server.left() == 0
        assert time.monotonic() - begun < 15.0


async def test_holds_are_completed_one_after_the_other(tmp_path: Path) -> None:
    with serve("front", drain_seconds=2.0) as server:
        polls, streams = await hold_many(server, 100)
        begun = time.monotonic()
        server.signal()

        async def told(client: Client) -> float:
            await client.receive()
            return time.monotonic() - begun

        moments = sorted(await asyncio.gather(*map(told, polls)))
        await asyncio.gather(*(stream.next() for stream in streams))
        for client in (*polls, *(stream.client for stream in streams)):
            await client.leave()
        assert 1.2 < moments[-1] < 2.0 + SOON
        # One after the other, and not all at the end, or in two lots.
        assert moments[len(moments) // 2] < moments[-1] - 0.4
        assert moments[len(moments) // 2] > moments[0] + 0.4
        assert await server.left() == 0


async def test_no_acknowledged_event_is_lost(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'hub.db'}"
    channel = fresh()
    acknowledged: list[int] = []
    enough = asyncio.Event()

    async def write(client: Client, first: int) -> None:
        for number in range(first, first + 10_000):
            try:
                answer = await client.ask("POST", events_of(channel), body=b"%d" % number)
            except (AssertionError, ConnectionError, h11.RemoteProtocolError):
                return
            if answer.status == 200:
                acknowledged.append(number)
            if len(acknowledged) > 200:
                enough.set()
            if answer.headers.get("connection") == "close":
                return

    with serve("front", url, drain_seconds=0.3, retention_events=100_000) as server:
        clients = [await server.connect() for _ in range(8)]
        writers = [
            asyncio.create_task(write(client, n * 10_000)) for n, client in enumerate(clients)
        ]
        async with asyncio.timeout(10):
            await enough.wait()
        server.signal()
        await asyncio.gather(*writers)
        assert await server.left() == 0
        for client in clients:
            client.close()
    with serve("front", url, retention_events=100_000) as server:
        cursor, kept = "earliest", []
        while True:
            target = f"{events_of(channel)}?since={cursor}&limit=1000"
            page = (await server.get(target)).json()
            kept += [event["data"] for event in page["events"]]
            if not page["events"]:
                break
            cursor = page["cursor"]
    assert set(acknowledged) <= set(kept)
    assert len(kept) == len(set(kept))


async def test_a_cursor_stays_valid_after_a_restart_on_the_same_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'hub.db'}"
    channel = fresh()
    with serve("front", url) as server:
        cursor = (await server.publish(channel, 1))["cursor"]
        await server.publish(channel, 2)
    with serve("front", url) as server:
        page = (await server.get(f"{events_of(channel)}?since={cursor}")).json()
        assert [event["data"] for event in page["events"]] == [2]
    assert sqlite3.connect(tmp_path / "hub.db").execute("pragma integrity_check").fetchone() == (
        "ok",
    )


async def test_after_a_restart_the_memory_store_reports_a_gap() -> None:
    channel = fresh()
    with serve("front") as server:
        cursor = (await server.publish(channel, 1))["cursor"]
    with serve("front") as server:
        answer = await server.get(f"{events_of(channel)}?since={cursor}", prefer="wait=20")
        assert (answer.status, answer.json()["reason"]) == (410, "epoch")


async def test_a_poll_during_the_drain_is_held_no_longer_than_the_drain() -> None:
    with serve("front", drain_seconds=0.8) as server:
        polls, streams = await hold_many(server, 40)
        async with await server.connect() as client:
            await client.ask("GET", "/livez")
            server.signal()
            while (await client.ask("GET", "/readyz")).status == 200:
                pass
            begun = time.monotonic()
            answer = await client.ask("GET", events_of(fresh()) + "?since=now&wait=50")
            assert time.monotonic() - begun < 0.8 + SOON
            assert answer.headers["connection"] == "close"
            assert answer.json()["retry_ms"] >= 200
        await all_end_well(polls, streams)
        assert await server.left() == 0


async def test_an_idle_server_leaves_at_once() -> None:
    with serve("front", drain_seconds=30) as server:
        begun = time.monotonic()
        server.signal()
        assert await server.left() == 0
        assert time.monotonic() - begun < 2 * SOON


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_hurries_and_still_everybody_is_answered(
    first: signal.Signals,
) -> None:
    with serve("front", drain_delay=30, drain_seconds=30) as server:
        polls, streams = await hold_many(server, 100)
        begun = time.monotonic()
        server.signal(first)
        async with await server.connect() as watcher:
            while (await watcher.ask("GET", "/readyz")).status == 200:
                pass
        server.signal(signal.SIGINT)
        await all_end_well(polls, streams)
        assert await server.left() == 0
        assert time.monotonic() - begun < 2 * SOON
