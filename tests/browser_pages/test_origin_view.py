"""The console's view of the origin, in a real Chromium."""

import asyncio
import os

from tests.browser_pages.browser import drive
from tests.origin.apis import Api
from tests.serving import serve

ROUTES = [
    {"path": "/poll/*", "step": "poll", "interval": 0.2, "slowest": 1},
    {"path": "/notify/*", "step": "notify"},
]
WISH = {"prefer": "wait=50", "if-none-match": '"one"'}


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
                folder = os.environ.get("PUSHHUB_TEST_PICTURES", "")
                found = await asyncio.to_thread(drive, "origin", url=url, folder=folder)
    assert found["axe"] == {}
    assert max(found["wider"].values()) <= 0
    assert [row[1] for row in found["routes"]] == ["/poll/*", "/notify/*", "/*"]
    assert found["routes"][0][2:6] == ["poll", "0.2 s to 1 s", "2", "2"]
    resources = {row[0]: row for row in found["resources"]}
    assert resources.keys() == {"/poll/orders?page", "/poll/broken", "/notify/cookie"}
    assert resources["/poll/orders?page"][6] == "200"
    assert resources["/poll/broken"][6].startswith("failing")
    assert resources["/notify/cookie"][6] == "not shared"
    (alone,) = found["alone"]
    assert "cookie" in alone[1]
    assert alone[2] == "1"
    assert float(found["fetches"]) > 0
    assert found["links"] == ["/_pushhub/demo", "/_pushhub/docs"]
