"""The cases against a real hub, on the store in memory: each start of it has a new epoch."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from urllib.request import Request, urlopen

from pushhub.conformance.case import case, check
from pushhub.conformance.stage import RETRY_SECONDS, START_SECONDS
from pushhub.server.hub_thread import HubThread
from pushhub.settings import Settings

if TYPE_CHECKING:
    from pushhub.conformance.stage import Stage

_HUB = "A real hub"
# A publish on loopback takes milliseconds.
_PUBLISH_SECONDS = 10.0
# Between two looks at whether a client waits.
_PAUSE = 0.05


def _settings(port: int = 0) -> Settings:
    return Settings(
        dev=True,
        host="127.0.0.1",
        port=port,
        store="memory://",
        drain_delay=0,
        drain_seconds=1,
        access_log=False,
    )


def _request(url: str, data: Any = None) -> Any:
    body = None if data is None else json.dumps(data).encode()
    headers = {"Content-Type": "application/json"}
    with urlopen(Request(url, body, headers), timeout=_PUBLISH_SECONDS) as response:
        return json.loads(response.read())


async def _publish(hub: HubThread, channel: str, data: Any) -> None:
    url = f"{hub.url}/v1/channels/{quote(channel, safe='')}/events"
    await asyncio.to_thread(_request, url, data)


async def _waiting(stage: Stage, hub: HubThread, channel: str) -> None:
    """Wait until a request of the client is held."""
    url = f"{hub.url}/v1/request?channel={quote(channel, safe='')}"
    loop = asyncio.get_running_loop()
    end = loop.time() + START_SECONDS
    while not (await asyncio.to_thread(_request, url))["holds"]:
        check(loop.time() < end, "No request of the client waits at the hub.")
        check(stage.client.has_output, "The client has ended.")
        await asyncio.sleep(_PAUSE)


async def _read(stage: Stage) -> None:
    """Events before and during a wait, and the gap and the events of a hub that starts anew."""
    first = HubThread(_settings())
    await asyncio.to_thread(first.__enter__)
    try:
        await _publish(first, "orders", 1)
        await stage.start({"orders": "earliest"}, url=first.url)
        await stage.line("event", data=1, seconds=START_SECONDS)
        await _waiting(stage, first, "orders")
        await _publish(first, "orders", 2)
        await stage.line("event", data=2)
        await _waiting(stage, first, "orders")
    finally:
        await asyncio.to_thread(first.__exit__, None, None, None)
    second = HubThread(_settings(first.port))
    await asyncio.to_thread(second.__enter__)
    try:
        await _publish(second, "orders", "of the next epoch")
        await stage.line("gap", channel="orders", reason="epoch", seconds=2 * RETRY_SECONDS)
        await stage.line("event", data="of the next epoch", seconds=RETRY_SECONDS)
        stage.check_events(1, 2, "of the next epoch")
    finally:
        await asyncio.to_thread(second.__exit__, None, None, None)


@case(
    "hub",
    "feed",
    _HUB,
    "Events of a real hub are printed once, also after its restart in a new epoch.",
)
async def hub_feed(stage: Stage) -> None:
    await _read(stage)


@case("hub-stream", "stream", _HUB, "The same by Server-Sent Events.")
async def hub_stream(stage: Stage) -> None:
    await _read(stage)


@case("hub-value", "value", _HUB, "A channel's value is printed once for each change.")
async def hub_value(stage: Stage) -> None:
    hub = HubThread(_settings())
    await asyncio.to_thread(hub.__enter__)
    try:
        await _publish(hub, "prices", {"amount": 1})
        await stage.start(url=f"{hub.url}/v1/channels/prices")
        await stage.line("value", data={"amount": 1}, seconds=START_SECONDS)
        await _waiting(stage, hub, "prices")
        await _publish(hub, "prices", {"amount": 2})
        await stage.line("value", data={"amount": 2})
        values = [line["data"] for line in stage.printed("value")]
        check(values == [{"amount": 1}, {"amount": 2}], f"The client prints {values}.")
    finally:
        await asyncio.to_thread(hub.__exit__, None, None, None)
