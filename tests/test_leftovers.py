"""What a failed test leaves behind does not fail the next."""

import os
import subprocess
import sys
from pathlib import Path

from tests import outside

TESTS = """
from collections.abc import Iterator

import pytest

from tests.serving import Server, serve
from tests.wire import Client

KEPT: list[Client] = []


@pytest.fixture(scope="module")
def shared() -> Iterator[Server]:
    with serve() as server:
        yield server


async def test_that_fails_while_its_clients_wait(shared: Server) -> None:
    for _ in range(3):
        KEPT.append(await shared.connect())
        KEPT[-1].send("GET", "/v1/channels/x/events?since=now", {"prefer": "wait=50"})
    await shared.held(3)
    assert False, "as a test of a busy machine"


async def test_that_comes_next(shared: Server) -> None:
    await shared.held(0, seconds=5)
"""


def test_the_holds_of_a_failed_test_end_with_it(tmp_path: Path) -> None:
    (tmp_path / "test_two.py").write_text(TESTS)
    config = ["-c", str(outside.ROOT / "pyproject.toml"), "--rootdir", str(tmp_path)]
    done = subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-p",
                "tests.conftest",
                "-p",
                "no:cacheprovider",
            ),
            *config,
            str(tmp_path),
        ],
        cwd=outside.ROOT,
        env={n: v for n, v in os.environ.items() if not n.startswith("PYTEST_")},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
