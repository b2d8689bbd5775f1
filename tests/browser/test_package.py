"""The client's package: its units, types, size and exports, and what the hub serves of it."""

import fcntl
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests import outside
from tests.browser.chromium import CLIENT, Profile, install
from tests.browser.site import Site
from tests.serving import Server

STATIC = CLIENT.parents[1] / "pushhub" / "api" / "static"
DOCS = CLIENT.parents[1] / "docs"
(TAG,) = re.findall(
    r"^<script [^>]*integrity=[^>]*></script>$", (DOCS / "client.md").read_text(), re.MULTILINE
)
(INTEGRITY,) = re.findall(r'integrity="[^"]+"', TAG)


def npm(*command: str) -> str:
    """What an npm script says; it succeeds."""
    install()
    done = subprocess.run(
        [outside.require("npm"), *command],
        cwd=CLIENT,
        env=os.environ | {"NO_COLOR": "1"},  # many colour what they say as soon as CI is set
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_units() -> None:
    npm("test")


def test_types() -> None:
    npm("run", "types")


def test_what_the_hub_serves_is_what_the_sources_say(tmp_path: Path) -> None:
    command = [install(), "build.mjs", str(tmp_path)]
    done = subprocess.run(
        command, cwd=CLIENT, check=True, timeout=110, capture_output=True, text=True
    )
    served = sorted(STATIC.glob("client.*"))
    assert len(served) == 5
    stale = [one.name for one in served if one.read_bytes() != (tmp_path / one.name).read_bytes()]
    assert not stale, "run `npm run build` in clients/js"
    assert INTEGRITY in done.stdout, "docs/client.md has the hash that the build prints"


def test_size_and_exports() -> None:
    install()
    with (CLIENT / "build.mjs").open() as held:
        # The package's own dist/ is one for all processes of a run.
        fcntl.flock(held, fcntl.LOCK_EX)
        subprocess.run([install(), "build.mjs"], cwd=CLIENT, check=True, timeout=60)
        sizes = re.findall(r"Size:\s+([\d.]+) kB", npm("run", "size"))
        npm("run", "lint")
    readme = (CLIENT / "README.md").read_text()
    told = re.findall(r"^\| \*\*`pushhub\S*`\*\* \| \*\*([\d.]+)\*\*", readme, re.MULTILINE)
    assert told == sizes[:2], "the README says how large it is"


async def test_the_hub_serves_it(own: Server) -> None:
    for name in ("client.js", "client.mjs"):
        answer = await own.get(f"/{name}")
        assert answer.status == 200
        assert answer.headers["content-type"].startswith("text/javascript")
        assert (await own.get(f"/{name}.map")).status == 200
    assert b"export declare const connect" in (await own.get("/client.d.ts")).body


@pytest.mark.parametrize("bytes_are", ["these", "others"])
async def test_the_tag_with_a_hash(
    bytes_are: str, own: Server, site: Site, profile: Profile
) -> None:
    """A browser runs the script that the hub serves, and no other."""
    tag = TAG if bytes_are == "these" else TAG.replace("sha384-", "sha384-0", 1)
    tag = tag.replace("https://push.example.com", f"http://127.0.0.1:{own.port}")
    site.pages["/integrity"] = f"<!doctype html>{tag}<script>ran = typeof pushhub</script>"
    tab = await profile.open(f"{site.url}/integrity")
    assert await tab.run("return ran") == ("object" if bytes_are == "these" else "undefined")
