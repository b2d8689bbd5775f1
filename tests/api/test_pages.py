"""The pages lead to each other, wherever they are served; the demo is not for everybody."""

import re
from urllib.parse import urljoin, urlsplit

import pytest

from tests.api.test_auth import ADMIN, KEYS, bearer
from tests.origin.apis import Api
from tests.serving import Server, serve

PAGES = ("", "docs", "console", "demo")
_LINK = re.compile(r'(?:href|src)="([^"#][^"]*)"')
_NAMED = re.compile(r'<a [^>]*href="([^"#]+)"')


async def links(server: Server, own: str = "") -> dict[str, set[str]]:
    """The other pages that each page names; every link and file of theirs is there."""
    found: dict[str, set[str]] = {}
    seen: set[str] = set()
    for name in PAGES:
        here = f"{own}/{name}"
        answer = await server.get(here)
        if answer.status == 307:
            here = urljoin(here, answer.headers["location"])
            answer = await server.get(here)
        if answer.status == 404:
            continue
        assert answer.status == 200, here
        text = answer.body.decode()
        for link in _LINK.findall(text):
            if not link.startswith("data:"):
                target = urlsplit(urljoin(here, link)).path
                assert target.startswith(f"{own}/"), f"{here} leads to {target}"
                seen.add(target)
        found[name] = {urljoin(here, link) for link in _NAMED.findall(text)}
    for target in seen:
        assert (await server.get(target)).status in (200, 307), target
    return found


@pytest.mark.parametrize("driver", ["front", "asgi"])
async def test_in_production_the_root_is_a_plain_page_and_there_is_no_demo(driver: str) -> None:
    with serve(driver, dev=False, api_keys=KEYS) as server:
        root = await server.get("/")
        assert (root.status, root.headers["content-type"]) == (200, "text/html; charset=utf-8")
        for path in ("/demo", "/demo/demo.js", "/demo/faces.json"):
            assert (await server.get(path)).problem == "not-found"
        found = await links(server)
        assert found.keys() == {"", "docs", "console"}
        assert not any("demo" in link for named in found.values() for link in named)
        assert found["console"] >= {"/docs"}
        assert found["docs"] >= {"/console"}
        assert (await server.get("/console/now", **bearer(ADMIN))).status == 200


@pytest.mark.parametrize("how", [{"dev": True}, {"dev": False, "api_keys": KEYS, "demo": True}])
async def test_the_demo_is_there_in_development_and_by_setting(how: dict[str, object]) -> None:
    with serve("front", **how) as server:  # type: ignore[arg-type]
        assert (await server.get("/")).headers["location"] == "demo"
        found = await links(server)
    assert found.keys() == set(PAGES)
    assert found["console"] >= {"/docs", "/demo"}
    assert found["docs"] >= {"/console", "/demo"}
    assert found["demo"] >= {"/console", "/docs"}


@pytest.mark.parametrize("driver", ["front", "asgi"])
async def test_pages_lead_to_each_other_behind_an_origins_paths(driver: str) -> None:
    async with Api.running() as api:
        with serve(driver, origin=api.url, prefix="/a/b") as server:
            found = await links(server, "/a/b")
            nothing = await server.get("/a/b/nothing")
        assert api.asked == [], "none of them is the origin's"
    assert found["console"] >= {"/a/b/docs", "/a/b/demo"}
    assert found["docs"] >= {"/a/b/console", "/a/b/demo"}
    assert "/a/b/docs lists" in nothing.json()["detail"]
