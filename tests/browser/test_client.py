"""What happens to browsers, happens: nothing is lost or doubled, and one request is held."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.api.test_auth import ADMIN, KEYS, bearer
from tests.auth.signing import SECRET
from tests.browser.chromium import SECONDS, Profile, Tab
from tests.browser.compressing import CompressingProxy
from tests.browser.cutting import CuttingProxy
from tests.browser.site import Site
from tests.proxy import Proxy
from tests.serving import Server, serve

# Hears channels, and keeps what it heard: data, or what else a message is.
PAGE = """<!doctype html><title>test</title>
<script src="{hub}/client.js"></script>
<script>
  const heard = [], states = [];
  const note = ({{ type, reason, error, data }}) => {{
    heard.push(type == "gap" || type == "error" ? {{ type, reason, status: error?.status }} : data);
    sessionStorage.all = [...(sessionStorage.all ? [sessionStorage.all] : []), data].join();
  }};
  const hub = pushhub.connect("{hub}", {options});
  hub.onState((state) => states.push(state));
  for (const channel of {channels}) hub.on(channel, note);
</script>
"""


def address(server: Server | Proxy | CuttingProxy | CompressingProxy) -> str:
    return f"http://127.0.0.1:{server.port}"


def page(site: Site, hub: str, *channels: str, options: str = "{}", path: str = "/") -> str:
    """Put the page on the site; its address."""
    site.pages[path] = PAGE.format(hub=hub, options=options, channels=json.dumps(channels))
    return site.url + path


async def live(*tabs: Tab) -> None:
    for tab in tabs:
        await tab.until("hub.state == 'live'")


async def hears(tab: Tab, expected: list[Any], name: str = "heard") -> None:
    """Exactly this, in this order."""
    await tab.until(f"{name}.length >= arg", len(expected))
    assert await tab.run(f"return {name}") == expected


async def publish(server: Server, channel: str, *data: Any, **headers: str) -> None:
    for start in range(0, len(data), 500):
        items = [{"channel": channel, "data": one} for one in data[start : start + 500]]
        assert (await server.post("/v1/publish", items, **headers)).status == 200


async def test_two_tabs_share_one_request(own: Server, site: Site, profile: Profile) -> None:
    url = page(site, address(own), "a", "b")
    tabs = [await profile.open(url), await profile.open(url)]
    await live(*tabs)
    await own.held(1)
    await publish(own, "a", 1)
    await publish(own, "b", 2)
    for tab in tabs:
        await hears(tab, [1, 2])
    await own.held(1)
    leading = [(await tab.run("return hub.debug()"))["leading"] for tab in tabs]
    assert sorted(leading) == [False, True]


async def test_a_reload_loses_nothing(own: Server, site: Site, profile: Profile) -> None:
    tab = await profile.open(page(site, address(own), "a"))
    await live(tab)
    await publish(own, "a", 1)
    await hears(tab, [1])
    reloading = asyncio.create_task(tab.reload())
    for n in range(2, 60):
        await publish(own, "a", n)
    await reloading
    await publish(own, "a", 60)
    await tab.until("heard.at(-1) == 60")
    # What the page heard before and after.
    assert json.loads("[" + await tab.run("return sessionStorage.all") + "]") == list(range(1, 61))


async def test_others_stay_live_when_the_leading_tab_is_reloaded(
    own: Server, site: Site, profile: Profile
) -> None:
    url = page(site, address(own), "a")
    tabs = [await profile.open(url) for _ in range(3)]
    await live(*tabs)
    for n in range(4):
        (leader,) = [tab for tab in tabs if (await tab.run("return hub.debug()"))["leading"]]
        others = [tab for tab in tabs if tab is not leader]
        for tab in others:
            await tab.run("states.length = 0; heard.length = 0")
        await leader.reload()
        await live(leader)
        await publish(own, "a", n)
        for tab in others:
            await hears(tab, [n])
        # An outage of the tab that asks is told to the others after this time.
        await asyncio.sleep(1.6)
        assert [await tab.run("return states") for tab in others] == [[], []]
    await own.held(1)


# What a browser takes from a page, as far as a script can: each alone, in each of its ways.
REFUSALS = {
    "locks": "Object.defineProperty(Navigator.prototype, 'locks', {get() { return undefined }})",
    "locks throw": "LockManager.prototype.request = () => { throw new DOMException('no') }",
    "locks reject": "LockManager.prototype.request = () => Promise.reject(new DOMException('no'))",
    "locks hang": "LockManager.prototype.request = () => new Promise(() => {})",
    "channel": "delete window.BroadcastChannel",
    "channel throws": (
        "window.BroadcastChannel = class { constructor() { throw new DOMException('no') } }"
    ),
    "storage throws": (
        "Object.defineProperty(window, 'sessionStorage', {get() { throw new DOMException('no') }})"
    ),
    "digest": "Object.defineProperty(Crypto.prototype, 'subtle', {get() { return undefined }})",
}


@pytest.mark.parametrize("refusal", REFUSALS)
async def test_events_come_whatever_a_browser_refuses(
    refusal: str, own: Server, site: Site, profile: Profile
) -> None:
    url = page(site, address(own), "a", options="{token: 'x.y.z'}")
    head = f"<script>{REFUSALS[refusal]}; window.kept = {{}}</script>"
    text = str(site.pages["/"]).replace("sessionStorage.all", "kept.all")
    site.pages["/"] = head + text
    tabs = [await profile.open(url), await profile.open(url)]
    await live(*tabs)
    await publish(own, "a", 1, 2)
    for tab in tabs:
        await hears(tab, [1, 2])


@pytest.mark.parametrize("sandbox", ["allow-scripts", "allow-scripts allow-same-origin"])
async def test_a_sandboxed_frame_hears_events(
    sandbox: str, open_to_all: Server, site: Site, profile: Profile
) -> None:
    url = page(site, address(open_to_all), "a", path="/framed")
    site.pages["/framed"] = "<script>window.kept = {}</script>" + str(
        site.pages["/framed"]
    ).replace("sessionStorage.all", "kept.all")
    site.pages["/frame"] = f"<iframe sandbox='{sandbox}' src='{url}'></iframe>"
    tab = await profile.open(site.url + "/frame")
    await open_to_all.held(1)
    await publish(open_to_all, "a", 1, 2, **bearer(ADMIN))
    frame = "kept.pages[args.tab].frames()[1]"
    async with asyncio.timeout(SECONDS):
        heard: list[int] = []
        while len(heard) < 2:
            heard = await profile.run(
                f"return {frame}.evaluate(() => window.eval('heard'))", tab=tab.name
            )
    assert heard == [1, 2]
    state = await profile.run(
        f"return {frame}.evaluate(() => window.eval('hub.state'))", tab=tab.name
    )
    assert state == "live"


async def test_a_tab_without_a_token_reads_nothing_of_one_with_a_token(
    guarded: Server, site: Site, profile: Profile
) -> None:
    with_token = f"{{token: '{token(60, 'a')}'}}"
    first = await profile.open(page(site, address(guarded), "a", options=with_token))
    await live(first)
    second = await profile.open(page(site, address(guarded), "a", path="/without"))
    await second.until("heard.length")
    # Another token with the same rights, of the same user: they share.
    again = f"{{token: '{token(90, 'a')}'}}"
    third = await profile.open(page(site, address(guarded), "a", options=again, path="/again"))
    await live(third)
    await guarded.held(1, 10.0, **bearer(ADMIN))
    answer = await guarded.post("/v1/publish", {"channel": "a", "data": 1}, **bearer(ADMIN))
    assert answer.status == 200
    await hears(first, [1])
    await hears(third, [1])
    refused = [{"type": "error", "status": 401}]
    assert await second.run("return heard.map(({type, status}) => ({type, status}))") == refused
    names = await first.run("return (await navigator.locks.query()).held.map(({name}) => name)")
    assert names
    assert not any("eyJ" in name for name in names)


async def test_a_stream_that_a_proxy_delays_is_left_for_held_requests(
    own: Server, site: Site, profile: Profile
) -> None:
    async with CompressingProxy(own.port) as proxy:
        tab = await profile.open(page(site, address(proxy), "a", options="{transport: 'sse'}"))
        await live(tab)
        begun = time.monotonic()
        await publish(own, "a", 1)
        await hears(tab, [1])
        # Three seconds, on a busy machine; a beat would bring it after 15.
        assert time.monotonic() - begun < 10
        await own.held(1)
        for n in range(2, 5):
            begun = time.monotonic()
            await publish(own, "a", n)
            await hears(tab, list(range(1, n + 1)))
            assert time.monotonic() - begun < 3
        assert proxy.streams == 1
        assert "offline" not in await tab.run("return states")


async def test_a_killed_tab_hands_over(own: Server, site: Site, profile: Profile) -> None:
    url = page(site, address(own), "a")
    first = await profile.open(url)
    await live(first)
    second = await profile.open(url)
    await live(second)
    await publish(own, "a", 1)
    await hears(second, [1])
    assert (await first.run("return hub.debug()"))["leading"]
    publishing = asyncio.create_task(publish(own, "a", *range(2, 200)))
    await first.crash()
    await publishing
    await hears(second, list(range(1, 200)))
    await live(second)
    await own.held(1)


async def test_a_closed_tab_hands_over(own: Server, site: Site, profile: Profile) -> None:
    url = page(site, address(own), "a")
    first, second = await profile.open(url), await profile.open(url)
    await live(first, second)
    await first.close()
    await publish(own, "a", 1)
    await hears(second, [1])
    await own.held(1)


async def test_offline_and_online(own: Server, site: Site, profile: Profile) -> None:
    async with Proxy(own.port) as proxy:
        tab = await profile.open(page(site, address(proxy), "a"))
        await live(tab)
        await own.held(1)
        # Chromium says that it is offline, and lets connections be.
        await profile.offline(True)
        await tab.until("hub.state == 'offline'")
        await own.held(0)
        await publish(own, "a", 1, 2)
        await profile.offline(False)
        await hears(tab, [1, 2])
        await live(tab)
        await own.held(1)
        # A network that is another one now says nothing at all to the connections of the old one.
        proxy.go_silent()
        await publish(own, "a", 3)
        proxy.heal()
        await tab.run("dispatchEvent(new Event('online'))")
        await hears(tab, [1, 2, 3])


@asynccontextmanager
async def restarting(store: str, **settings: Any) -> AsyncIterator[tuple[Proxy, Server]]:
    """A hub, behind a proxy that keeps its address while hubs come and go."""
    with serve(store=store, **settings) as server:
        async with Proxy(server.port) as proxy:
            yield proxy, server


async def test_a_restart(tmp_path: Path, site: Site, profile: Profile) -> None:
    store = f"sqlite:///{tmp_path / 'hub.db'}"
    async with restarting(store) as (proxy, server):
        tab = await profile.open(page(site, address(proxy), "a"))
        await live(tab)
        await publish(server, "a", 1)
        server.process.kill()
        server.process.wait()
        await tab.until("hub.state == 'offline'")
        with serve(store=store) as again:
            proxy.target = again.port
            await publish(again, "a", 2, 3)
            await hears(tab, [1, 2, 3])
            await live(tab)
    assert "closed" not in await tab.run("return states")


async def test_a_drain(tmp_path: Path, site: Site, profile: Profile) -> None:
    store = f"sqlite:///{tmp_path / 'hub.db'}"
    async with restarting(store, drain_seconds=1) as (proxy, server):
        tab = await profile.open(page(site, address(proxy), "a"))
        await live(tab)
        await publish(server, "a", 1)
        server.signal()
        assert await server.left() == 0
        with serve(store=store) as again:
            proxy.target = again.port
            await publish(again, "a", 2)
            await hears(tab, [1, 2])
            await live(tab)


async def test_a_gap_is_told_to_every_tab(site: Site, profile: Profile) -> None:
    async with restarting("memory://") as (proxy, server):
        url = page(site, address(proxy), "a")
        tabs = [await profile.open(url), await profile.open(url)]
        await live(*tabs)
        await publish(server, "a", 1)
        await server.held(1)
        with serve(store="memory://") as again:
            await publish(again, "a", "new")
            proxy.target = again.port
            proxy.cut()
            for tab in tabs:
                await tab.until("heard.length >= 3")
                one, gap, new = await tab.run("return heard")
                assert (one, gap["type"], gap["reason"], new) == (1, "gap", "epoch", "new")
            await live(*tabs)


def token(seconds: float, *patterns: str) -> str:
    claims = {"exp": time.time() + seconds, "pushhub": {"read": list(patterns)}}
    return jwt.encode(claims, SECRET, "HS256")


@pytest.fixture
def guarded() -> Any:
    key = {"algorithm": "HS256", "key": SECRET.decode()}
    settings: dict[str, Any] = {"api_keys": KEYS, "token_keys": [key], "cors_origins": ["*"]}
    with serve(dev=False, **settings) as server:
        yield server


async def test_tokens_are_renewed_before_they_end_and_after(
    guarded: Server, site: Site, profile: Profile
) -> None:
    made: list[float] = []

    def give() -> str:
        # The first has ended when it comes: the hub says 401. Those after it last 3 seconds.
        made.append(time.monotonic())
        return token(3 if len(made) > 1 else -3600, "a")

    site.pages["/token"] = give
    options = "{ token: () => fetch('/token').then((r) => r.text()), wait: 1 }"
    tab = await profile.open(page(site, address(guarded), "a", options=options))
    await live(tab)
    assert len(made) >= 2
    async with asyncio.timeout(SECONDS):
        while len(made) < 4:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    # It asks on with the new one, and is never without.
    asked = (await tab.run("return hub.debug()"))["requests"]
    await tab.until("hub.debug().requests >= arg", asked + 2)
    assert await tab.run("return states") == ["live"]
    # Nine tenths of 3 seconds, and clocks that are not read at the same moment.
    assert all(later - sooner > 2.5 for sooner, later in itertools.pairwise(made[1:]))


async def test_a_channel_that_is_refused_disturbs_no_other(
    guarded: Server, site: Site, profile: Profile
) -> None:
    options = f"{{ token: '{token(60, 'a')}' }}"
    tab = await profile.open(page(site, address(guarded), "a", "b", options=options))
    await live(tab)
    await guarded.held(1, 10, **bearer(ADMIN))
    assert await tab.run("return heard") == [{"type": "error", "status": 403}]


async def test_another_origin(site: Site, profile: Profile) -> None:
    with (
        serve(dev=False, public=True, api_keys=KEYS, cors_origins=[site.url]) as friend,
        serve(
            dev=False, public=True, api_keys=KEYS, cors_origins=["https://b.example"]
        ) as stranger,
    ):
        tab = await profile.open(page(site, address(friend), "a"))
        await live(tab)
        tab = await profile.open(page(site, address(stranger), "a", path="/other"))
        await tab.until("hub.state == 'offline'")


async def test_the_same_origin(own: Server, profile: Profile) -> None:
    tab = await profile.open(address(own) + "/docs")
    await tab.run(
        "const {connect} = await import('/client.mjs');"
        "window.heard = []; window.hub = connect();"
        "hub.on('a', (event) => heard.push(event.data))"
    )
    await live(tab)
    receipt = await tab.run("return hub.publish('a', {n: 1}, {type: 'note'})")
    assert receipt["channel"] == "a"
    await hears(tab, [{"n": 1}])


async def test_a_proxy_that_cuts(own: Server, site: Site, profile: Profile) -> None:
    """It cuts at 2.5 seconds, as others do at 10 or 60: the client learns to ask for less."""
    async with CuttingProxy(own.port, 2.5) as proxy:
        tab = await profile.open(page(site, address(proxy), "a"))
        await live(tab)
        await tab.until("hub.debug().wait <= 2")
        await live(tab)
        cuts = proxy.cuts
        began = await tab.run("return [states.length, hub.debug().requests]")
        await publish(own, "a", 1)
        await hears(tab, [1])
        await tab.until("hub.debug().requests >= arg", began[1] + 5)
        assert (await tab.run("return states.length"), proxy.cuts) == (began[0], cuts)


@pytest.mark.parametrize("transport", ["poll", "sse"])
async def test_a_burst(own: Server, site: Site, profile: Profile, transport: str) -> None:
    options = json.dumps({"transport": transport})
    url = page(site, address(own), "a", "b", options=options)
    tabs = [await profile.open(url), await profile.open(url)]
    await live(*tabs)
    await own.held(1)
    await asyncio.gather(publish(own, "a", *range(1000)), publish(own, "b", *range(1000, 2000)))
    for tab in tabs:
        await tab.until("heard.length >= 2000")
        heard = await tab.run("return heard")
        assert [n for n in heard if n < 1000] == list(range(1000))
        assert [n for n in heard if n >= 1000] == list(range(1000, 2000))


async def test_a_stream_survives_what_a_poll_survives(
    own: Server, site: Site, profile: Profile
) -> None:
    async with Proxy(own.port) as proxy:
        tab = await profile.open(page(site, address(proxy), "a", options="{transport: 'sse'}"))
        await live(tab)
        await own.held(1)
        await publish(own, "a", 1)
        await hears(tab, [1])
        proxy.cut()
        await publish(own, "a", 2)
        await hears(tab, [1, 2])
        await live(tab)
        # Another channel begins another stream; nothing of the first is missed.
        await tab.run("window.more = []; hub.on('b', (event) => more.push(event.data))")
        await publish(own, "a", 3)
        # What comes after the beginning of `b` is known is not missed.
        await tab.until("(hub.debug().cursors.b ?? 'now') != 'now'")
        await publish(own, "b", 4)
        await hears(tab, [4], "more")
        await hears(tab, [1, 2, 3])


async def test_an_iterator(own: Server, site: Site, profile: Profile) -> None:
    await publish(own, "a", *range(3000))
    tab = await profile.open(page(site, address(own)))
    await tab.run(
        "(async () => { for await (const event of hub.channel('a', {since: 'earliest'}))"
        " note(event) })()"
    )
    # The channel keeps a thousand.
    await hears(tab, list(range(2000, 3000)))
    await publish(own, "a", 3000)
    await tab.until("heard.at(-1) == 3000")


async def test_channels_come_and_go(own: Server, site: Site, profile: Profile) -> None:
    tab = await profile.open(page(site, address(own), "a"))
    await live(tab)
    publishing = asyncio.create_task(publish(own, "a", *range(400)))
    await tab.run(
        "for (let n = 0; n < 30; n++) {"
        " const stop = hub.on('c' + n, () => {});"
        " await new Promise((done) => setTimeout(done, 15)); if (n % 3) stop(); }"
    )
    await publishing
    await hears(tab, list(range(400)))
    await live(tab)
    await own.held(1)


async def test_a_value_is_polled_and_upgraded(own: Server, site: Site, profile: Profile) -> None:
    await own.publish("a", {"n": 1})
    tab = await profile.open(page(site, address(own)))
    await tab.run(
        "window.values = [];"
        "window.poll = pushhub.poll(arg, {every: 60000});"
        "poll.on((value) => values.push(value))",
        address(own) + "/v1/channels/a",
    )
    await own.held(1)
    for n in (2, 3):
        await own.publish("a", {"n": n})
        await hears(tab, [{"n": m} for m in range(1, n + 1)], "values")
        await own.held(1)
    assert await tab.run("return poll.waits")


async def test_credentials_are_in_no_address(guarded: Server, site: Site, profile: Profile) -> None:
    secret = token(60, "a")
    tab = await profile.open(page(site, address(guarded), "a", options=f"{{token: '{secret}'}}"))
    await live(tab)
    entries = "performance.getEntriesByType('resource').map(({name}) => name)"
    await tab.until(f"{entries}.some((url) => url.includes('/v1/poll'))")
    urls = await tab.run(f"return {entries}")
    assert not any(secret in url or "?" in url for url in urls)
