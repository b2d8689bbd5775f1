"""The shops on Starlette and Flask, and the task of Celery, run as their READMEs say."""

import asyncio

import pytest

from tests.examples.conftest import running
from tests.serving import until_held
from tests.wire import Client

JSON = {"content_type": "application/json"}
# Where the hub's own metrics are: in the application, or on the control listener.
SHOPS = {
    "starlette": ("PORT", "/push/metrics", r"Uvicorn running on"),
    "flask": ("CONTROL_PORT", "/metrics", r"^curl -X PUT"),
}


@pytest.mark.parametrize("name", SHOPS)
async def test_a_request_waits_for_the_order_to_change(name: str) -> None:
    port, metrics, started = SHOPS[name]
    with running(name, "") as example:
        await example.heard(started)
        first = await example.ask("PORT", "GET", "/orders/1", prefer="wait=25")
        assert first.json() == {"id": 1, "state": "received"}
        fields = {"prefer": "wait=25", "if_none_match": first.headers["etag"]}
        waiting = asyncio.create_task(example.ask("PORT", "GET", "/orders/1", **fields))
        if name == "flask":
            async with await Client.connect(example.ports[port]) as client:
                await until_held(client, 1, metrics=metrics)
        changed = await example.ask("PORT", "PUT", "/orders/1", b'{"state": "sent"}', **JSON)
        assert changed.status == 200
        assert (await waiting).json() == {"id": 1, "state": "sent"}


async def test_a_task_publishes_its_progress() -> None:
    with running("celery", "") as example:
        for done in (1, 2, 3):
            await example.heard(rf"^{done} of 3 parcels$")
        await example.heard("^curl ")
