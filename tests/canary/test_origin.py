"""The canary requests a resource of each route that names one."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from pushhub.canary.origin_checks import opted_in
from pushhub.settings import Settings
from pushhub.settings.origin import MAX_CANARY_ROUTES
from pushhub.settings.route import Route
from tests.canary.running import running
from tests.origin.apis import Api

pytestmark = pytest.mark.slow

ORDER = "origin:/orders/1"
PAGE = "origin:shop.example.com/pages/a?b=c"


def routes(api: Api) -> list[dict[str, Any]]:
    return [
        {
            "path": "/orders/{id}",
            "target": api.url,
            "step": "poll",
            "opt_in": ["wait-param"],
            "canary": "/orders/1",
        },
        {
            "host": "shop.example.com",
            "path": "/pages/*",
            "target": api.url,
            "step": "pass",
            "canary": "/pages/a?b=c",
        },
        {"path": "/*", "target": api.url, "step": "pass"},
    ]


async def test_a_resource_of_each_route() -> None:
    async with Api.running() as api:
        api.set("/orders/1", '{"total":1}', '"1"')
        api.set("/pages/a?b=c", "hello")
        async with running(routes=routes(api)) as hub:
            assert await hub.red() == set()
            assert {ORDER, PAGE} <= hub.canary.ok().keys()
            assert {asked.method for asked in api.asked} == {"GET"}, "nothing is written"
            # A plain GET, and the shared fetch of the one that opts in.
            assert (api.count("/orders/1"), api.count("/pages/a?b=c")) == (2, 1)

            api.set("/orders/1", "broken", status=500)
            assert await hub.red() == {ORDER}
            api.set("/orders/1", '{"total":2}', '"2"')
            assert await hub.red() == set()


async def test_an_origin_that_is_down_is_red() -> None:
    async with Api.running() as api:
        api.set("/orders/1", '{"total":1}', '"1"')
        api.set("/pages/a?b=c", "hello")
        async with running(routes=routes(api)) as hub:
            assert await hub.red() == set()
            await api.stop()
            assert await hub.red() == {ORDER, PAGE}
            await api.start()
            assert await hub.red() == set()


async def test_an_origin_that_hangs_is_red() -> None:
    async with Api.running() as api:
        api.set("/orders/1", '{"total":1}', '"1"')
        api.set("/pages/a?b=c", "hello")
        async with running(routes=routes(api)) as hub:
            api.gate.clear()
            assert await hub.red() == {ORDER, PAGE}
            api.gate.set()
            assert await hub.red() == set()


async def test_a_resource_that_cannot_wait_is_red() -> None:
    """Its responses are for one client: requests are not held, and clients poll as before."""
    async with Api.running() as api:
        api.set("/orders/1", "{}", '"1"', headers=[("set-cookie", "a=b")])
        api.set("/pages/a?b=c", "hello")
        async with running(routes=routes(api)) as hub:
            assert await hub.red() == {ORDER}


async def test_a_reload_takes_other_resources() -> None:
    async with Api.running() as api:
        api.set("/orders/1", '{"total":1}', '"1"')
        api.set("/pages/a?b=c", "hello")
        async with running(routes=routes(api)) as hub:
            assert await hub.red() == set()
            rows = [{**row, "canary": None} for row in routes(api)]
            hub.app.reconfigure(
                hub.app.settings.model_copy(update={"routes": [Route(**row) for row in rows]})
            )
            assert await hub.red() == set()
            assert not [name for name in hub.canary.ages() if name.startswith("origin:")]


@pytest.mark.parametrize(
    ("form", "target", "headers"),
    [
        ({}, "/a?b=c", {"prefer": "wait=1"}),
        ({"opt_in": ["wait"]}, "/a?b=c", {"wait": "1"}),
        ({"opt_in": ["wait-param"]}, "/a?b=c&wait=1", {}),
        ({"opt_in": ["timeout-param"]}, "/a?b=c&timeout=1", {}),
        ({"opt_in": ["timeout-param"], "timeout_unit": "ms"}, "/a?b=c&timeout=1000", {}),
    ],
)
def test_each_form_of_the_opt_in(
    form: dict[str, Any], target: str, headers: dict[str, str]
) -> None:
    assert opted_in(Route(**form), "/a?b=c") == (target, headers)


@pytest.mark.parametrize(
    "path",
    ["/other/1", "orders/1", "/orders/1/2", "/orders/ü", "/orders/a b", '/orders/"', "/a/.."],
)
def test_the_resource_is_one_of_the_route(path: str) -> None:
    with pytest.raises(ValidationError, match="'canary' is a path of the route"):
        Route(path="/orders/{id}", canary=path)


def test_the_number_of_resources_is_bounded() -> None:
    def settings(count: int, path: str) -> Settings:
        rows = [
            Route(path=f"/{n}/*", canary=f"/{n}/1", target="http://127.0.0.1:1")
            for n in range(count)
        ]
        last = Route(path=path, canary="/0/1", target="http://127.0.0.1:1")
        return Settings(store="memory://", routes=[*rows, last])

    with pytest.raises(ValidationError, match=f"At most {MAX_CANARY_ROUTES} routes"):
        settings(MAX_CANARY_ROUTES, "/*")
    with pytest.raises(ValidationError, match="Two routes have the same 'canary'"):
        settings(1, "/*")
