"""The console's view of the origin, in a real Chromium."""

import asyncio
import json
import os

from tests.browser_pages.browser import drive
from tests.origin.apis import Api
from tests.serving import Server, serve

ROUTES = [
    {"path": "/poll/*", "step": "poll", "interval": 0.2, "slowest": 1},
    {"path": "/notify/*", "step": "notify", "linger": 300},
    {"path": "/fresh", "step": "poll", "interval": 0.1},
]
WISH = {"prefer": "wait=50", "if-none-match": '"one"'}


async def always_new(server: Server, api: Api) -> None:
    """A client of a resource that has another state in each response, and tells the time."""
    async with await server.connect() as client:
        tag = '"none"'
        for number in range(1_000_000):
            api.set("/fresh", json.dumps({"now": number, "rows": [1]}))
            reply = await client.ask("GET", "/fresh", {"prefer": "wait=5", "if-none-match": tag})
            tag = reply.headers["etag"]


async def test_an_operator_sees_what_the_origin_is_asked() -> None:
    async with Api.running() as api:
        api.set("/poll/orders?page=1", "1", '"one"')
        api.set("/poll/broken", "1", '"one"')
        api.set("/notify/cookie", "1", '"one"', headers=[("Set-Cookie", "a=b")])
        with serve("front", origin=api.url, routes=ROUTES) as server:
            async with await server.connect() as one, await server.connect() as other:
                one.send("GET", "/poll/orders?page=1", WISH)
                other.send("GET", "/poll/broken", WISH)
                await api.reached(2, "/poll/orders?page=1")
                await api.reached(2, "/poll/broken")
                api.set("/poll/broken", "sorry", None, 500)
                assert (await server.get("/notify/cookie", prefer="wait=20")).status == 200
                url = f"http://127.0.0.1:{server.port}"
                fresh = asyncio.create_task(always_new(server, api))
                await api.reached(11, "/fresh", 30)
                folder = os.environ.get("PUSHHUB_TEST_PICTURES", "")
                found = await asyncio.to_thread(drive, "origin", url=url, folder=folder)
                fresh.cancel()
    assert found["axe"] == {}
    assert max(found["wider"].values()) <= 0
    assert [row[1] for row in found["routes"]] == ["/poll/*", "/notify/*", "/fresh", "/*"]
    assert found["routes"][0][2:6] == ["poll", "0.2 s to 1 s", "2", "2"]
    resources = {row[0]: row for row in found["resources"]}
    assert resources.keys() == {"/poll/orders?page", "/poll/broken", "/notify/cookie", "/fresh"}
    assert resources["/poll/orders?page"][1] == "200"
    assert resources["/poll/broken"][1].startswith("failing")
    assert resources["/notify/cookie"][1].startswith("not shared")
    assert "sets a cookie" in resources["/notify/cookie"][1], "the reason stands beside it"
    assert resources["/fresh"][1] == "always new"
    assert found["first"] == "/fresh", "what is always new comes first"
    alone = {row[0]: row for row in found["alone"]}
    assert "cookie" in alone["/notify/*"][1]
    assert alone["/notify/*"][2] == "1"
    assert "$.now. Add these" in alone["/fresh"][1]
    assert found["byBytes"] == sorted(found["byBytes"], reverse=True)
    assert float(found["fetches"]) > 0
    assert found["links"] == ["/_pushhub/demo", "/_pushhub/docs"]
