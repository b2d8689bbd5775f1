"""Pages of other origins wait for an application whose own CORS lets them read it, and knows no
`Prefer`; everything else of that CORS stays as it is.
"""

import asyncio
import re
from collections.abc import Iterator

import pytest

from tests.browser.chromium import Profile
from tests.browser.cors_apps import APPS, WITH_CREDENTIALS, SetVersion
from tests.browser.site import Site
from tests.serving import Server, serve, until_held
from tests.wire import Client, Response

Behind = tuple[str, Server, int, SetVersion]
ROUTES = [{"path": "/*", "step": "poll", "interval": 0.2, "identity": []}]

# The first version and its tag; then a wait for the next one.
POLL = """
const ask = async (headers) => {
  const response = await fetch(arg.url, {headers, credentials: arg.credentials});
  return [response.status, response.headers.get("etag"), await response.text(),
          response.headers.get("preference-applied")];
};
window.first = await ask({Prefer: "wait=20"});
window.second = null;
ask({Prefer: "wait=20", "If-None-Match": window.first[1]}).then((told) => window.second = told);
"""


@pytest.fixture(scope="module", params=APPS)
def behind(request: pytest.FixtureRequest, site: Site) -> Iterator[Behind]:
    """A hub in front of an application that allows the pages of the site."""
    name: str = request.param
    with (
        APPS[name](site.url) as (port, change),
        serve(origin=f"http://127.0.0.1:{port}", routes=ROUTES) as hub,
    ):
        yield name, hub, port, change


@pytest.mark.parametrize("credentials", ["omit", "include"])
async def test_a_page_waits(behind: Behind, site: Site, profile: Profile, credentials: str) -> None:
    name, hub, _, change = behind
    if credentials == "include" and name not in WITH_CREDENTIALS:
        pytest.skip("the application lets pages send no cookies")
    change(1)
    site.pages["/page"] = "a page"
    tab = await profile.open(f"{site.url}/page")
    await tab.run(POLL, {"url": f"http://127.0.0.1:{hub.port}/orders", "credentials": credentials})
    status, tag, _, applied = await tab.run("return window.first")
    assert (status, applied) == (200, "wait=20")
    assert tag
    async with await hub.connect() as client:
        await until_held(client, 1, metrics="/_pushhub/metrics")
    change(2)
    status, other, body, applied = await tab.until("window.second")
    assert (status, applied) == (200, "wait=20")
    assert other != tag
    assert '"n":2' in body.replace(" ", "")


async def test_a_page_that_the_application_does_not_allow_gets_nothing(
    behind: Behind, profile: Profile
) -> None:
    _, hub, _, _ = behind
    with Site() as stranger:
        stranger.pages["/page"] = "a page"
        tab = await profile.open(f"{stranger.url}/page")
        told = await tab.run(
            "try { return await (await fetch(arg, {headers: {Prefer: 'wait=1'}})).text(); }"
            "catch (error) { return error.name; }",
            f"http://127.0.0.1:{hub.port}/orders",
        )
    assert told == "TypeError"


HEADERS: list[tuple[str, dict[str, str]]] = [
    ("GET", {}),
    ("OPTIONS", {}),
    ("OPTIONS", {"access-control-request-method": "GET"}),
    ("OPTIONS", {"access-control-request-method": "GET",
                 "access-control-request-headers": "if-none-match"}),
    ("OPTIONS", {"access-control-request-method": "GET",
                 "access-control-request-headers": "x-own, content-type"}),
    ("OPTIONS", {"access-control-request-method": "POST",
                 "access-control-request-headers": "prefer"}),
    ("OPTIONS", {"access-control-request-headers": "prefer"}),
]  # fmt: skip


@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize(("method", "headers"), HEADERS)
async def test_every_other_request_is_the_applications(
    behind: Behind,
    site: Site,
    allowed: bool,
    method: str,
    headers: dict[str, str],
) -> None:
    _, hub, port, _ = behind
    given = {"origin": site.url if allowed else "http://stranger.example", **headers}

    async def raw(at: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", at)
        lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        writer.write(f"{method} /orders HTTP/1.1\r\nHost: 127.0.0.1\r\n{lines}\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        writer.close()
        # The headers of one connection, and the time.
        dropped = rb"(?im)^(?:date|connection|keep-alive): .*\r\n|^HTTP/1\.[01] "
        return re.sub(dropped, b"", head)

    assert await raw(hub.port) == await raw(port)


async def test_what_is_added(behind: Behind, site: Site) -> None:
    """Every name that the application allows stays allowed, and every other header stays."""
    name, hub, port, _ = behind
    asked = {"origin": site.url, "access-control-request-method": "GET"}

    async def ask(at: int, names: str) -> Response:
        async with await Client.connect(at) as client:
            given = {**asked, **({"access-control-request-headers": names} if names else {})}
            return await client.ask("OPTIONS", "/orders", given)

    own, ours = await ask(port, ""), await ask(hub.port, "prefer,if-none-match")
    assert (ours.status // 100, ours.headers["access-control-allow-origin"]) == (2, site.url)
    allowed = ours.headers["access-control-allow-headers"].lower().split(", ")
    assert {"prefer", "if-none-match"} <= set(allowed)
    if name != "nginx":
        before = own.headers.get("access-control-allow-headers", "").lower()
        assert set(filter(None, before.split(", "))) <= set(allowed)
        for one in (own, ours):
            for dropped in ("access-control-allow-headers", "date", "connection", "keep-alive"):
                one.headers.pop(dropped, None)
        assert ours.headers == own.headers
    # A header that the application refuses is still refused.
    if name in ("starlette", "django-cors-headers"):
        refused = await ask(hub.port, "prefer,x-unknown")
        names = refused.headers.get("access-control-allow-headers", "").lower()
        assert refused.status == 400 or "x-unknown" not in names
