"""`GET /v1/request`: how a request arrives, and how its connection ended."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from pushhub.http.connection_record import ConnectionRecord, ConnectionRecords
from tests.api.test_auth import ADMIN, KEYS, READER, WRITER, bearer
from tests.serving import Server, events_of, fresh, serve


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(dev=False, api_keys=KEYS, keep_alive_seconds=1) as server:
        yield server
        server.check()


async def test_the_client_is_the_one_that_a_trusted_proxy_names(hub: Server) -> None:
    seen = (await hub.get("/v1/request", x_forwarded_for="192.0.2.7")).json()
    assert seen["forwarded_for"] == "192.0.2.7"
    assert (seen["keep_alive_seconds"], seen["max_wait"]) == (75.0, 55)
    if hub.driver == "front":
        assert seen["client"] == "192.0.2.7"
        assert seen["peer"].startswith("127.0.0.1:")
        assert (seen["http"], seen["peer_trusted"], seen["secure"]) == ("1.1", True, False)
    else:
        assert (seen["http"], seen["peer"], seen["peer_trusted"]) == (None, None, False)


async def test_the_waits_of_a_channel_are_counted(hub: Server) -> None:
    channel = fresh()
    async with hub.holding("GET", f"{events_of(channel)}?since=now&wait=30"):
        assert (await hub.get(f"/v1/request?channel={channel}")).json()["holds"] == 1
    assert (await hub.get("/v1/request?channel=%24a")).problem == "bad-channel"


async def test_the_key_must_manage_a_channel(server: Server) -> None:
    assert (await server.get("/v1/request")).problem == "unauthorized"
    assert (await server.get("/v1/request", **bearer(READER))).problem == "forbidden"
    assert (await server.get("/v1/request", **bearer(WRITER))).status == 200
    of_another = "/v1/request?channel=other"
    assert (await server.get(of_another, **bearer(WRITER))).problem == "forbidden"
    assert (await server.get(of_another, **bearer(ADMIN))).json()["holds"] == 0


async def _ended(server: Server, peer: str) -> dict[str, Any]:
    """The record of a connection, once it has ended."""
    async with asyncio.timeout(20):
        while True:
            answer = await server.get(f"/v1/request?peers=x,{peer}", **bearer(ADMIN))
            (record,) = answer.json()["connections"]
            if not record["open"]:
                return dict(record)
            await asyncio.sleep(0.05)


async def test_the_end_of_an_idle_connection_is_recorded(server: Server) -> None:
    async with await server.connect() as stays, await server.connect() as leaves:
        peers = [
            (await client.ask("GET", "/v1/request", bearer(ADMIN))).json()["peer"]
            for client in (stays, leaves)
        ]
        await leaves.leave()
        by_client, by_hub = [await _ended(server, peer) for peer in reversed(peers)]
    assert by_client["idle_seconds"] is not None
    assert by_hub["idle_seconds"] >= 1


class _Wire:
    transport = head = None
    record: ConnectionRecord | None = None


def test_only_the_last_records_are_kept() -> None:
    records = ConnectionRecords(2)
    wires = [_Wire() for _ in range(3)]
    for number, wire in enumerate(wires):
        records.add(wire, str(number))  # type: ignore[arg-type]
    assert [record.peer for record in records.of("0123")] == ["1", "2"]
    records.add(wires[1], "1")  # type: ignore[arg-type]
    records.add(_Wire(), "3")  # type: ignore[arg-type]
    assert [record.peer for record in records.of("0123")] == ["1", "3"]
