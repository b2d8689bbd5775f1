"""The console's view of the origin: routes, resources, fetches, and what cannot be shared."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.origin.apis import Api
from tests.redis_servers import Shelf
from tests.serving import Server, serve

OWN = "/_pushhub"
SECONDS = 20.0
ROUTES: list[dict[str, Any]] = [
    {"path": "/poll/*", "step": "poll", "interval": 0.1, "slowest": 0.2},
    {"path": "/notify/*", "step": "notify"},
    *({"path": f"/unused/{n}", "step": "pass"} for n in range(120)),
]


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with Api.running() as running:
        yield running


@pytest.fixture
def hub(api: Api) -> Iterator[Server]:
    with serve("front", origin=api.url, routes=ROUTES) as server:
        yield server


async def reports(server: Server, processes: int = 1) -> list[dict[str, Any]]:
    """The state of the origin on every process."""
    cursor = (await server.get(f"{OWN}/console/feed")).json()["cursor"]
    found: dict[str, dict[str, Any]] = {}
    async with asyncio.timeout(SECONDS):
        while len(found) < processes:
            # As a console does, again and again: a worker may have begun just after the first.
            assert (await server.post(f"{OWN}/console/wish", {"origin": True})).status == 202
            page = await server.get(f"{OWN}/console/feed?since={cursor}", prefer="wait=2")
            cursor = page.json()["cursor"]
            for event in page.json()["events"]:
                if "origin" in event["data"]:
                    found[event["data"]["id"]] = event["data"]["origin"]
    return list(found.values())


@asynccontextmanager
async def waits(server: Server, target: str, tag: str) -> AsyncIterator[None]:
    """A client that waits for another state of a resource."""
    async with await server.connect() as client:
        client.send("GET", target, {"prefer": "wait=50", "if-none-match": tag})
        yield


async def test_routes_resources_and_fetches_are_there(hub: Server, api: Api) -> None:
    target = "/poll/orders?page=2&token=secret"
    api.set(target, "1", '"one"')
    async with waits(hub, target, '"one"'), waits(hub, target, '"one"'):
        await api.reached(5, target)
        (report,) = await reports(hub)
        figures = (await hub.get(f"{OWN}/console/now")).json()["figures"]["origin"]
    assert report["routes"][0] | {"target": ""} == {
        "route": 1,
        "host": "*",
        "path": "/poll/*",
        "step": "poll",
        "target": "",
        "resources": 1,
        "waiting": 2,
        "interval": 0.1,
        "slowest": 0.2,
    }
    # The routes of the file, and the origin's own; a hundred are listed.
    assert (len(report["routes"]), report["routes_in_all"]) == (100, len(ROUTES) + 1)
    (resource,) = report["resources"]
    assert (resource["path"], resource["route"]) == ("/poll/orders?page&token", 1)
    assert (resource["waiting"], resource["status"], resource["problem"]) == (2, 200, "")
    assert resource["fetches"] >= 4
    assert (resource["received"], resource["always_new"]) == (1, False), "the rest were 304"
    assert 0.1 <= resource["pause"] <= 0.2
    assert resource["fetched"] < 5
    assert figures["fetches"] >= 4
    assert (figures["failed"], figures["resources"]) == (0, 1)
    assert "secret" not in json.dumps(report)


async def test_errors_and_what_is_not_shared_are_told(hub: Server, api: Api) -> None:
    api.set("/poll/broken", "1", '"one"')
    api.set("/notify/cookie", "1", '"one"', headers=[("Set-Cookie", "a=b")])
    async with waits(hub, "/poll/broken", '"one"'):
        await api.reached(2, "/poll/broken")
        api.set("/poll/broken", "sorry", None, 500)
        known = api.count("/poll/broken")
        await api.reached(known + 2, "/poll/broken")
        assert (await hub.get("/notify/cookie", prefer="wait=20")).status == 200
        (report,) = await reports(hub)
        figures = (await hub.get(f"{OWN}/console/now")).json()["figures"]["origin"]
    resources = {one["path"]: one for one in report["resources"]}
    assert "error" in resources["/poll/broken"]["problem"]
    assert resources["/poll/broken"]["pause"] > 0.1, "it is asked less often"
    assert resources["/notify/cookie"]["passes"] > 50
    assert figures["failed"] >= 1
    (alone,) = report["not_shared"]
    assert (alone["path"], alone["last"], alone["times"]) == ("/notify/*", "/notify/cookie", 1)
    assert "cookie" in alone["why"]
    assert resources["/notify/cookie"]["why"] == alone["why"], "the reason of this resource"
    assert resources["/poll/broken"]["why"] == ""


async def test_what_is_always_new_comes_first_with_what_differs(hub: Server, api: Api) -> None:
    api.set("/poll/quiet", "1", '"one"')
    tag = '"none"'
    async with waits(hub, "/poll/quiet", '"one"'), await hub.connect() as client:
        async with asyncio.timeout(SECONDS):
            for number in range(30):
                api.set("/poll/clock", json.dumps({"now": number, "rows": [1]}))
                fields = {"prefer": "wait=20", "if-none-match": tag}
                reply = await client.ask("GET", "/poll/clock", fields)
                tag = reply.headers["etag"]
                if "preference-applied" not in reply.headers:
                    break
        (report,) = await reports(hub)
    assert report["always_new_in_all"] == 1
    first = report["resources"][0]
    assert (first["path"], first["always_new"]) == ("/poll/clock", True)
    assert first["received"] > first["fetches"], "bytes of all bodies"
    (alone,) = report["not_shared"]
    assert (alone["why"], alone["differs"]) == ("every response is new", "$.now")


async def test_a_report_is_bounded_and_names_those_with_most_waiting(hub: Server, api: Api) -> None:
    crowd = "/notify/" + "long" * 1000
    targets = [f"/notify/{n}" for n in range(80)]
    for target in (crowd, *targets):
        api.set(target, "1", '"one"')
    for target in targets:
        assert (await hub.get(target, prefer="wait=20")).status == 200
    async with waits(hub, crowd, '"one"'):
        await api.reached(1, crowd)
        (report,) = await reports(hub)
    assert (len(report["resources"]), report["resources_in_all"]) == (50, 81)
    assert report["resources"][0]["path"] == crowd[:200]
    assert len(json.dumps(report)) < 64 * 1024


async def test_a_hub_without_an_origin_has_none() -> None:
    with serve("front") as server:
        assert (await server.get("/console/now")).json()["figures"]["origin"] is None
        session = await server.ask("POST", "/console/session")
        assert session.json()["origin"] is False


async def test_every_worker_reports(redis_shelf: Shelf, api: Api) -> None:
    store = redis_shelf.server("valkey9")
    with serve("front", store.url(), workers=2, origin=api.url, routes=ROUTES) as duo:
        found = await reports(duo, 2)
    assert [one["routes_in_all"] for one in found] == [len(ROUTES) + 1] * 2
