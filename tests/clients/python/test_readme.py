"""Each program of clients/python/README.md runs as it stands there, against a hub."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pushhub_client import Client
from tests.serving import serve
from tests.waiting import NEWS_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
README = (ROOT / "clients" / "python" / "README.md").read_text()
PROGRAMS = dict(re.findall(r"^```python (\S+\.py)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE))
# Program → what is published before it starts, what it prints then, what is published while it
# waits, and what it prints then.
STORIES: dict[str, tuple[dict[str, object], str, dict[str, object], str]] = {
    "sync.py": ({}, "data={'total': 3}", {"orders:7": "later"}, "data='later'"),
    "asynchronous.py": ({}, "data={'total': 3}", {"orders:8": "later"}, "data='later'"),
    "publish.py": ({}, "precondition-failed", {}, "channel='c'"),
    "cursors.py": ({"orders:10": 1}, "channel='orders:10'", {"customers": 2}, "data=2"),
    "poller.py": ({"prices": 1}, "1", {"prices": 2}, "2"),
    "with_requests.py": ({"news": "first"}, "first", {"news": "second"}, "second"),
    "with_aiohttp.py": ({"news": "first"}, "first", {"news": "second"}, "second"),
}


@pytest.fixture
def client() -> Iterator[Client]:
    """A client of a hub of its own, so that every program finds the channels it names."""
    with serve() as server, Client(f"http://127.0.0.1:{server.port}") as client:
        yield client


def test_every_program_has_a_story() -> None:
    assert set(PROGRAMS) == set(STORIES)


@pytest.mark.parametrize("name", STORIES)
def test_a_program_runs(name: str, client: Client, tmp_path: Path) -> None:
    before, first, meanwhile, then = STORIES[name]
    for channel, data in before.items():
        client.publish(channel, data)
    (tmp_path / name).write_text(PROGRAMS[name].replace("http://127.0.0.1:8080", client.url))
    process = subprocess.Popen(
        [sys.executable, "-u", name],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    try:
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line)
            if first in line:
                for channel, data in meanwhile.items():
                    client.publish(channel, data)
                first = "\0"
            elif first == "\0" and then in line:
                break
        else:
            pytest.fail("the program ended:\n" + "".join(lines))
    finally:
        process.kill()
        process.stdout.close()
        process.wait(NEWS_SECONDS)
