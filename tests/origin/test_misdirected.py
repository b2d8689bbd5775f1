"""A request for pushhub's own routes that was sent to the origin's address is told in the log."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.origin.apis import Api
from tests.ports import free_port
from tests.serving import Server, serve

NOTIFY = {"resources": ["/orders/7"]}


@pytest.fixture
async def pair() -> AsyncIterator[tuple[Server, Api]]:
    port = free_port()
    with serve(origin=f"http://127.0.0.1:{port}", control="127.0.0.1:0") as server:
        async with Api.running(port) as api:
            yield server, api


def told(server: Server) -> list[dict[str, Any]]:
    return [json.loads(line) for line in server.output.lines if "origin.misdirected" in line]


async def test_a_notification_on_the_main_port_is_logged_once(pair: tuple[Server, Api]) -> None:
    server, api = pair
    for _ in range(2):
        answer = await server.post("/v1/notify", NOTIFY)
        assert (answer.status, answer.body) == (404, b"nothing here"), "the origin's, unchanged"
    await asyncio.to_thread(server.output.find, re.compile("origin.misdirected"), 30)
    channel = await server.post("/v1/channels/orders/events", {})
    assert channel.status == 404
    assert (await server.post("/_pushhub/v1/notify", NOTIFY)).status == 200
    await asyncio.to_thread(server.output.find, re.compile("channels.*origin.misdirected"), 30)
    first, second = told(server)
    assert (first["level"], first["path"], first["status"]) == ("warning", "/v1/notify", 404)
    assert "/_pushhub/v1/notify" in first["hint"]
    assert "--control" in first["hint"]
    assert second["path"] == "/v1/channels/orders/events"
    assert api.count() == 3


async def test_a_route_that_the_origin_has_is_its_own(pair: tuple[Server, Api]) -> None:
    server, api = pair
    api.set("/v1/notify", "yes")
    assert (await server.post("/v1/notify", NOTIFY)).body == b"yes"
    assert (await server.post("/v1/other", NOTIFY)).status == 404
    assert (await server.ask("GET", "/publish")).status == 404
    # All it has logged is there when it has left.
    server.signal()
    await server.left()
    assert not told(server)


async def test_the_banner_has_the_line_that_notifies(pair: tuple[Server, Api]) -> None:
    server, _ = pair
    (line,) = [line for line in server.output.lines if "/v1/notify" in line]
    assert re.search(
        r"curl -d '\{\"resources\": \[\"/\*\"\]\}' http://127\.0\.0\.1:\d+/v1/notify", line
    )
