"""Under a path prefix: of pushhub's own, of a proxy that strips it, of a server's `root_path`."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

import pytest

from pushhub.app import create_app
from pushhub.settings import Settings
from tests.serving import Server, events_of, serve


@pytest.fixture(scope="module", params=["front", "asgi"])
def behind(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server whose own routes are under `/_pushhub/`."""
    with serve(request.param, origin="http://127.0.0.1:9") as server:
        yield server


REDIRECTS = {"": "demo", "demo/": "demo", "docs/": "docs", "console/": "console"}


@pytest.mark.parametrize("path", REDIRECTS)
async def test_redirects_stay_under_the_prefix_of_a_proxy(hub: Server, path: str) -> None:
    answer = await hub.get("/" + path)
    assert answer.status == 307
    there = urljoin(f"https://hub.localhost/push/{path}", answer.headers["location"])
    assert there == f"https://hub.localhost/push/{REDIRECTS[path]}"
    assert (await hub.get("/" + REDIRECTS[path])).status == 200


@pytest.mark.parametrize("path", REDIRECTS)
async def test_redirects_stay_under_pushhubs_own_prefix(behind: Server, path: str) -> None:
    answer = await behind.get("/_pushhub/" + path)
    assert answer.status == 307
    there = urljoin(f"https://hub.localhost/x/_pushhub/{path}", answer.headers["location"])
    assert there == f"https://hub.localhost/x/_pushhub/{REDIRECTS[path]}"


async def test_a_page_with_a_slash_more_is_no_absolute_redirect(hub: Server) -> None:
    for path in ("/livez/", "/openapi.json/", "/client.js/", "/metrics/"):
        assert (await hub.get(path)).status == 404


async def test_openapi_is_relative_to_itself(hub: Server, behind: Server) -> None:
    for server, path in ((hub, "/openapi.json"), (behind, "/_pushhub/openapi.json")):
        (named,) = (await server.get(path)).json()["servers"]
        base = urljoin(f"https://hub.localhost/push{path}", named["url"])
        assert base == "https://hub.localhost/push" + path.removesuffix("openapi.json")


async def asked(path: str, root: str) -> list[Any]:
    app = create_app(Settings(dev=True, store="memory://"))
    await app.open()
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "root_path": root,
        "query_string": b"",
        "headers": [(b"host", b"hub.localhost")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "scheme": "http",
    }
    await app(scope, receive, send)
    await app.close()
    return sent


@pytest.mark.parametrize("root", ["", "/push"])
@pytest.mark.parametrize(
    "path", [events_of("a"), "/livez", "/openapi.json", "/.well-known/host-meta.json"]
)
async def test_a_servers_root_path_is_no_part_of_the_path(root: str, path: str) -> None:
    sent = await asked(root.rstrip("/") + path, root)
    assert sent[0]["status"] == 200
    if "host-meta" in path:
        address = f'"http://hub.localhost{root.rstrip("/")}/http-bind"'
        assert address.encode() in sent[1]["body"]


async def test_a_path_that_only_begins_like_the_root_path_is_another() -> None:
    assert (await asked("/pushed/livez", "/push"))[0]["status"] == 404
