"""The client in Firefox and WebKit: what a page expects of it there, too."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.test_auth import ADMIN, bearer
from tests.browser.site import Site
from tests.browser.test_client import address, page, publish
from tests.browser.webdriver import Browser, driven, threaded
from tests.serving import Server, serve

WAIT = 25


@pytest.fixture(scope="module", params=["firefox", "webkit"])
def browser(request: pytest.FixtureRequest) -> Iterator[Browser]:
    with driven(request.param) as browser:
        yield browser


@pytest.fixture
def tabs(browser: Browser) -> Iterator[list[str]]:
    """The handles of two tabs; in each the last test's page has ended."""
    browser.tabs = browser.tabs or (browser.here(), browser.tab())
    yield list(browser.tabs)
    for handle in browser.tabs:
        browser.switch(handle)
        browser.load("about:blank")


class Tab:
    """One tab of a browser, for tests that await."""

    def __init__(self, browser: Browser, handle: str) -> None:
        self.browser = browser
        self.handle = handle

    async def do(self, what: str, *arguments: Any) -> Any:
        def there() -> Any:
            self.browser.switch(self.handle)
            return getattr(self.browser, what)(*arguments)

        return await threaded(there)

    async def hears(self, expected: list[Any]) -> None:
        await self.do("until", "heard.length >= arguments[0]", len(expected))
        assert await self.do("run", "return heard") == expected


async def opened(browser: Browser, handles: list[str], url: str) -> list[Tab]:
    found = [Tab(browser, handle) for handle in handles]
    for tab in found:
        await tab.do("load", url)
        await tab.do("until", "hub.state == 'live'")
    return found


async def test_tabs_share_a_request_and_stay_live_when_one_is_reloaded(
    browser: Browser, tabs: list[str], own: Server, site: Site
) -> None:
    first, second = await opened(browser, tabs, page(site, address(own), "a"))
    await own.held(1)
    await publish(own, "a", 1)
    await first.hears([1])
    await second.hears([1])
    assert await first.do("run", "return hub.debug().leading")
    await second.do("run", "states.length = 0")
    for n in range(2, 5):
        leader, other = (first, second) if n % 2 == 0 else (second, first)
        await leader.do("until", "hub.debug().leading")
        await other.do("run", "states.length = 0; heard.length = 0")
        await leader.do("reload")
        await leader.do("until", "hub.state == 'live'")
        await publish(own, "a", n)
        await other.hears([n])
        # Longer than an outage of the tab that asks stays untold.
        await asyncio.sleep(1.6)
        assert await other.do("run", "return states") == []
        await other.do("until", "hub.debug().leading")
    await own.held(1)


async def test_a_reload_loses_nothing(
    browser: Browser, tabs: list[str], own: Server, site: Site
) -> None:
    (tab,) = await opened(browser, tabs[:1], page(site, address(own), "a"))
    await tab.do("run", "delete sessionStorage.all")
    await publish(own, "a", 1)
    await tab.hears([1])
    reloading = asyncio.create_task(tab.do("reload"))
    for n in range(2, 40):
        await publish(own, "a", n)
    await reloading
    await publish(own, "a", 40)
    await tab.do("until", "heard.at(-1) == 40")
    assert json.loads(f"[{await tab.do('run', 'return sessionStorage.all')}]") == list(range(1, 41))


@pytest.mark.parametrize("tabs_option", ["true", "false"])
async def test_a_wait_stays_as_long_over_visits_by_back(
    browser: Browser, tabs: list[str], own: Server, site: Site, tabs_option: str
) -> None:
    site.pages["/other"] = "<!doctype html><p>other"
    (tab,) = await opened(
        browser, tabs[:1], page(site, address(own), "a", options=f"{{tabs: {tabs_option}}}")
    )
    for n in range(3):
        await own.held(1)
        # Old enough to be taken for a proxy's cut, and each time of the same age.
        await asyncio.sleep(2)
        await tab.do("load", site.url + "/other")
        await own.held(0)
        await tab.do("back")
        await tab.do("until", "hub.state == 'live'")
        await publish(own, "a", n)
        await tab.do("until", "heard.at(-1) === arguments[0]", n)
    assert (await tab.do("run", "return hub.debug()"))["wait"] == WAIT
    await tab.do("reload")
    await tab.do("until", "hub.state == 'live'")
    assert (await tab.do("run", "return hub.debug()"))["wait"] == WAIT


async def test_a_sandboxed_frame_hears_events(
    browser: Browser, tabs: list[str], open_to_all: Server, site: Site
) -> None:
    url = page(site, address(open_to_all), "a", path="/framed")
    # Its storage is refused, so it keeps what it heard in memory only.
    text = str(site.pages["/framed"])
    site.pages["/framed"] = text.replace("sessionStorage.all", "window.all")
    site.pages["/frame"] = f"<!doctype html><iframe sandbox=allow-scripts src='{url}'></iframe>"
    tab = Tab(browser, tabs[0])
    await tab.do("load", site.url + "/frame")
    await open_to_all.held(1)
    await threaded(browser.frame, 0)
    await threaded(browser.until, "hub.state == 'live'")
    await publish(open_to_all, "a", 1, 2, **bearer(ADMIN))
    await threaded(browser.until, "heard.length >= 2")
    assert await threaded(browser.run, "return heard") == [1, 2]
    await threaded(browser.frame, None)


async def test_a_stream_brings_events(
    browser: Browser, tabs: list[str], own: Server, site: Site
) -> None:
    (tab,) = await opened(
        browser, tabs[:1], page(site, address(own), "a", options="{transport: 'sse'}")
    )
    await own.held(1)
    for n in range(3):
        await publish(own, "a", n)
        await tab.hears(list(range(n + 1)))
    assert (await tab.do("run", "return hub.debug()"))["requests"] <= 3, "one stream brings all"


async def test_the_console_draws_its_plots(browser: Browser, tabs: list[str]) -> None:
    with serve() as server:
        tab = Tab(browser, tabs[0])
        await tab.do("load", address(server) + "/console")
        await tab.do("until", "document.getElementById('state').textContent == 'live'")
        await tab.do("until", "document.querySelectorAll('.plot canvas').length == 6")
        await tab.do("load", "about:blank")
