"""The client's package: its units, types, size and exports, and what the hub serves of it."""

import fcntl
import os
import re
import subprocess
from pathlib import Path

from tests import outside
from tests.browser.chromium import CLIENT, install
from tests.serving import Server

STATIC = CLIENT.parents[1] / "pushhub" / "api" / "static"


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
    subprocess.run([install(), "build.mjs", str(tmp_path)], cwd=CLIENT, check=True, timeout=110)
    served = sorted(STATIC.glob("client.*"))
    assert len(served) == 5
    stale = [one.name for one in served if one.read_bytes() != (tmp_path / one.name).read_bytes()]
    assert not stale, "run `npm run build` in clients/js"


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
