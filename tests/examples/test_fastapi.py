"""The shop on FastAPI, run as its README says."""

import asyncio

from tests.examples.conftest import running

JSON = {"content_type": "application/json"}


async def test_a_request_waits_for_the_order_to_change() -> None:
    with running("fastapi", "") as example:
        await example.heard(r"Uvicorn running on")
        first = await example.ask("PORT", "GET", "/orders/1", prefer="wait=25")
        assert first.json() == {"id": 1, "state": "received"}
        waiting = asyncio.create_task(
            example.ask(
                "PORT", "GET", "/orders/1", prefer="wait=25", if_none_match=first.headers["etag"]
            )
        )
        changed = await example.ask("PORT", "PUT", "/orders/1", b'{"state": "sent"}', **JSON)
        assert changed.status == 200
        assert (await waiting).json() == {"id": 1, "state": "sent"}
        feed = await example.ask("PORT", "GET", "/push/v1/channels/orders:1/events?since=earliest")
        assert [event["data"] for event in feed.json()["events"]] == [{"state": "sent"}]
        assert (await example.ask("PORT", "GET", "/push/docs")).status == 200
