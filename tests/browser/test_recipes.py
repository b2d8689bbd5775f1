"""The recipes of the client's README do what they say, as they are written."""

import asyncio
import itertools
import re
import subprocess
from pathlib import Path

import pytest

from tests import outside
from tests.browser.chromium import CLIENT, FOLDER, SECONDS, Profile, install
from tests.browser.site import Site
from tests.ports import free_port
from tests.proxy import Proxy
from tests.serving import Server, serve, until_held

README = (CLIENT / "README.md").read_text()
# A recipe is a block with the name of its file.
RECIPES = dict(re.findall(r"^```\w+ ([\w.-]+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL))
MOUNTS = {
    "useChannel.jsx": """
        import { createRoot } from "react-dom/client";
        import { Price } from "./useChannel.jsx";
        createRoot(document.getElementById("here")).render(<Price />);
    """,
    "useChannel.js": """
        import { createApp } from "vue";
        import { Price } from "./useChannel.js";
        createApp(Price).mount("#here");
    """,
    "Price.svelte": """
        import { mount } from "svelte";
        import Price from "./Price.svelte";
        mount(Price, { target: document.getElementById("here") });
    """,
}
# What a page needs for a recipe that reads a stream, and the libraries, by their paths.
STREAMS = {
    "htmx-sse.html": (
        "<script src=/htmx.js></script><script src=/hx-sse.js></script>",
        {
            "/htmx.js": "htmx.org/dist/htmx.min.js",
            "/hx-sse.js": "htmx.org/dist/ext/hx-sse.min.js",
        },
    ),
    "datastar.html": (
        "<script type=module src=/datastar.js></script>",
        {"/datastar.js": "@starfederation/datastar/dist/datastar.js"},
    ),
}
# What the recipe for Strophe.js leaves to the page.
SHOW = """
    function show(json) {
        document.querySelector("p").textContent = `${JSON.parse(json).amount} €`;
        return true;
    }
"""
ADDRESS = "https://push.example.com"


def test_there_are_no_other_recipes() -> None:
    shared = {"hub.js", "channel.js"}
    assert set(RECIPES) == {*shared, "htmx.html", "strophe.js", *MOUNTS, *STREAMS}


def bundle(folder: Path, entry: str) -> str:
    done = subprocess.run(
        [install(), str(FOLDER / "bundle.mjs"), str(folder), entry],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def write(folder: Path, hub: Server, *names: str) -> None:
    for name in names:
        (folder / name).write_text(RECIPES[name].replace(ADDRESS, f"http://127.0.0.1:{hub.port}"))


@pytest.mark.parametrize("name", MOUNTS)
async def test_a_framework(
    name: str, own: Server, site: Site, profile: Profile, tmp_path: Path
) -> None:
    write(tmp_path, own, "hub.js", "channel.js", name)
    (tmp_path / "mount.jsx").write_text(MOUNTS[name])
    site.pages["/mount.js"] = bundle(tmp_path, "mount.jsx")
    site.pages["/recipe"] = "<div id=here></div><script src=/mount.js></script>"
    tab = await profile.open(f"{site.url}/recipe")
    await tab.until("document.querySelector('p')?.textContent == '…'")
    await own.held(1)
    for amount in (7, 8):
        await own.publish("prices", {"amount": amount})
        await tab.until("document.querySelector('p').textContent == arg", str(amount))


async def test_htmx(own: Server, site: Site, profile: Profile) -> None:
    install()
    recipe = RECIPES["htmx.html"].replace(ADDRESS, f"http://127.0.0.1:{own.port}")
    asked: list[int] = []

    def price() -> str:
        asked.append(1)
        return f"{len(asked)} €"

    site.pages["/price"] = price
    site.pages["/htmx.js"] = (CLIENT / "node_modules/htmx.org/dist/htmx.min.js").read_text()
    site.pages["/recipe"] = (
        f"<script src=/htmx.js></script>"
        f"<script src=http://127.0.0.1:{own.port}/client.js></script>{recipe}"
    )
    tab = await profile.open(f"{site.url}/recipe")
    await tab.until("document.querySelector('p').textContent == '1 €'")
    await own.held(1)
    await own.publish("prices", {"amount": 7})
    await tab.until("document.querySelector('p').textContent == '2 €'")


@pytest.mark.parametrize("name", STREAMS)
async def test_a_stream(name: str, site: Site, profile: Profile) -> None:
    """The page is the origin's; the events come as the README publishes them, also after a cut."""
    install()
    scripts, libraries = STREAMS[name]
    for path, library in libraries.items():
        site.pages[path] = (CLIENT / "node_modules" / library).read_text()
    site.pages["/recipe"] = f"<!doctype html>{scripts}{RECIPES[name]}"
    (publish,) = re.findall(
        rf"^```html {name}\n.*?^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL
    )
    control = free_port()
    with serve(origin=site.url, control=f"127.0.0.1:{control}") as hub:
        async with Proxy(hub.port) as proxy:
            tab = await profile.open(f"http://127.0.0.1:{proxy.port}/recipe")
            async with await hub.connect() as client:
                await until_held(client, 1, metrics="/_pushhub/metrics")
                for amount in (8, 9):
                    run(publish.replace(":5561/", f":{control}/").replace("8 €", f"{amount} €"))
                    await tab.until("document.querySelector('p').textContent == arg", f"{amount} €")
                proxy.part()
                await until_held(client, 0, metrics="/_pushhub/metrics")
                run(publish.replace(":5561/", f":{control}/").replace("8 €", "10 €"))
            proxy.join()
            await tab.until("document.querySelector('p').textContent == '10 €'")


def run(shell: str) -> None:
    outside.require("curl")
    strict = 'set -e; curl() { command curl -sSf "$@"; }; '
    command = ["bash", "-c", strict + shell]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


async def test_the_script_tag_of_the_quickstart(own: Server, site: Site, profile: Profile) -> None:
    quickstart = (CLIENT.parents[1] / "README.md").read_text()
    (block,) = re.findall(r"^```html\n(.*?)^```$", quickstart, re.MULTILINE | re.DOTALL)
    tag = block.replace("http://127.0.0.1:8080", f"http://127.0.0.1:{own.port}")
    listen = "<script>const said = []; console.log = (one) => said.push(one)</script>"
    site.pages["/quickstart"] = listen + tag
    tab = await profile.open(f"{site.url}/quickstart")
    await own.held(1)
    await own.publish("demo", {"hello": "world"})
    assert await tab.until("said.length && said") == [{"hello": "world"}]


@pytest.mark.parametrize("way", ["a tag", "a module"])
async def test_strophe(way: str, own: Server, site: Site, profile: Profile, tmp_path: Path) -> None:
    recipe = RECIPES["strophe.js"]
    lines = recipe.splitlines()
    assert len(lines) == 5, "it is called a recipe of five lines"
    assert max(map(len, lines)) <= 100
    write(tmp_path, own, "strophe.js")
    script = (tmp_path / "strophe.js").read_text()
    if way == "a tag":
        install()
        library = CLIENT / "node_modules/strophe.js/dist/strophe.umd.min.js"
        site.pages["/strophe.js"] = library.read_text()
        tags = f"<script src=/strophe.js></script><script>{script}</script>"
    else:
        (said,) = re.findall(r"^`(import .* from \"strophe.js\")` first", README, re.MULTILINE)
        (tmp_path / "module.js").write_text(said + ";\n" + script)
        site.pages["/module.js"] = bundle(tmp_path, "module.js")
        tags = "<script src=/module.js></script>"
    site.pages["/recipe"] = f"<p></p><script>{SHOW}</script>{tags}"
    tab = await profile.open(f"{site.url}/recipe")
    # Nothing says when the subscription is there: publish until it is.
    async with asyncio.timeout(SECONDS):
        for amount in itertools.count():
            await own.publish("prices", {"amount": amount})
            if await tab.run("return document.querySelector('p').textContent"):
                break
    for amount in (1_000_776, 1_000_777):
        await own.publish("prices", {"amount": amount})
        await tab.until("document.querySelector('p').textContent == arg", f"{amount} €")
