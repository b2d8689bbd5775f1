"""The commands in the documents work, and answer what the documents say.

The convention: in the pages below every fenced `sh` block whose commands are all `curl`
(comments, continued lines, `name=$(curl …)` and curl in the background count too) is run by bash,
in the order of the page, against a real server of the page's own; `127.0.0.1:8080` becomes its
address. The commands of docs/polling-upgrade.md are run against `examples/todo/run notify`, its
pushhub, control listener and origin. There `pushhub routes` counts as `curl` does. Nobody wants to
wait for a test, so `wait=25` becomes `wait=1`. A command with `-m` may run out of time: that is
how a stream is shown.

If a `json` block is the next thing after the block, what the commands print (after the last empty
line, so that a head does not count) has the same shape: the same members of the same kinds, a list
in which the page shows something is not empty, and the same type, status and reason of a problem.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import outside
from tests.examples.conftest import running

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md",
    "docs/api.md",
    "docs/console.md",
    "docs/guarantees.md",
    "docs/metrics.md",
    "docs/polling-upgrade.md",
    "docs/problems.md",
)
UPGRADE = "docs/polling-upgrade.md"
ADDRESS = "http://127.0.0.1:8080"
BLOCK = re.compile(
    r"^```sh\n(?P<sh>.*?)^```$(?:\n+^```json\n(?P<json>.*?)^```$)?", re.MULTILINE | re.DOTALL
)
# Sections of the README that start servers of their own: test_readme types all their blocks.
SCENES = re.compile(
    r"^## (?:Upgrade your API|In production)\n.*?(?=^## )", re.MULTILINE | re.DOTALL
)
CURL = re.compile(r"(?:(?:\w+=\$\()?curl|pushhub routes)\s")
SECONDS = 60
RAN_OUT_OF_TIME = 28  # curl's status when -m has ended it


def blocks(page: str) -> Iterator[tuple[str, str | None]]:
    """The commands that are run, and the JSON that is shown after them."""
    text = (ROOT / page).read_text()
    if page == "README.md":
        text = SCENES.sub("", text)
    for found in BLOCK.finditer(text):
        if all(map(CURL.match, commands(found["sh"]))):
            yield found["sh"], found["json"]


def commands(text: str) -> list[str]:
    """The lines that begin a command: none that is a comment, or goes on with one before it."""
    begun: list[str] = []
    in_quotes = continued = False
    for line in text.splitlines():
        if not in_quotes and line.startswith("#"):
            continue
        if line.strip() and not (in_quotes or continued):
            begun.append(line)
        in_quotes ^= line.count("'") % 2 == 1
        continued = line.endswith("\\")
    return begun


@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_of_a_page_run(page: str, request: pytest.FixtureRequest) -> None:
    outside.require("curl")
    fixture = "upgraded" if page == UPGRADE else "server"
    found: str | dict[str, str] = request.getfixturevalue(fixture)
    addresses = {ADDRESS: found} if isinstance(found, str) else found
    wrong = [text for script, shown in blocks(page) if (text := run(script, shown, addresses))]
    assert not wrong, "\n\n".join(wrong)


@pytest.fixture
def upgraded() -> Iterator[dict[str, str]]:
    """The to-do list behind a pushhub that it notifies; the addresses of the page, and the real."""
    with running("todo", "notify", EVERY="3600") as example:
        example.says(r"^\[\]$")
        usual = {"PORT": 8080, "ORIGIN_PORT": 8000, "CONTROL_PORT": 5561}
        yield {
            f"http://127.0.0.1:{port}": f"http://127.0.0.1:{example.ports[name]}"
            for name, port in usual.items()
        }


def run(script: str, shown: str | None, addresses: dict[str, str]) -> str:
    """What is wrong with a block; empty if nothing is."""
    runnable = script.replace("wait=25", "wait=1")
    for usual, real in addresses.items():
        runnable = runnable.replace(usual, real)
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", runnable + "\nwait"],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        cwd=ROOT,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )
    told = f"{script}{done.stdout}\n{done.stderr}"
    allowed = (0, RAN_OUT_OF_TIME) if re.search(r"\s-m\s?\d", script) else (0,)
    if done.returncode not in allowed:
        return f"{told}ended with {done.returncode}"
    if shown is None:
        return ""
    body = done.stdout.replace("\r\n", "\n").rpartition("\n\n")[2].strip()
    try:
        return "".join(f"{told}{where}\n" for where in compare(json.loads(shown), json.loads(body)))
    except json.JSONDecodeError as error:
        return f"{told}{error}"


def test_the_reference_has_blocks() -> None:
    assert len(list(blocks("docs/api.md"))) >= 20


def compare(shown: Any, real: Any, at: str = "$") -> Iterator[str]:
    """Where the shape of what the page shows is not that of what came."""
    if type(shown) is not type(real):
        yield f"{at}: {type(shown).__name__} is shown, {type(real).__name__} came"
    elif isinstance(shown, dict):
        if shown.keys() != real.keys():
            yield f"{at}: members {sorted(shown.keys() ^ real.keys())}"
        for name in shown.keys() & real.keys():
            if name in ("status", "reason") or str(shown[name]).startswith("urn:"):
                if shown[name] != real[name]:
                    yield f"{at}.{name}: {shown[name]!r} is shown, {real[name]!r} came"
            else:
                yield from compare(shown[name], real[name], f"{at}.{name}")
    elif isinstance(shown, list):
        if bool(shown) != bool(real):
            yield f"{at}: {len(shown)} entries are shown, {len(real)} came"
        for index, (one, other) in enumerate(zip(shown, real, strict=False)):
            yield from compare(one, other, f"{at}[{index}]")


def test_a_comparison_sees_differences() -> None:
    assert not list(compare({"a": [1, 2]}, {"a": [3]}))
    assert list(compare({"a": 1}, {"a": "1"}))
    assert list(compare({"a": 1}, {"a": 1, "b": 2}))
    assert list(compare({"a": [1]}, {"a": []}))
    assert list(compare({"type": "urn:x:a"}, {"type": "urn:x:b"}))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("curl x\n", True),
        ("# why\ncurl x \\\n  -d 'a\nb' y\n", True),
        ("tag=$(curl x)\ncurl y &\n", True),
        ("scripts/run\n", False),
        ("curl x\npushhub serve\n", False),
    ],
)
def test_what_is_run(text: str, expected: bool) -> None:
    assert all(map(CURL.match, commands(text))) is expected
