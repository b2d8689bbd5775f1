"""The fixtures for the tests of a user's program, in a project of its own."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

TEST = """
from pushhub_client import Client
from pushhub_client.testing import running_hub

def test_publish(pushhub_client):
    assert pushhub_client.publish("a", 1).offset == 1

def test_same_hub(pushhub_url):
    with Client(pushhub_url) as client:
        assert client.publish("a", 2).offset == 2

def test_settings_arrive_and_a_hub_that_does_not_start_says_why():
    try:
        with running_hub(max_wait="never"):
            assert False
    except RuntimeError as error:
        assert "MAX_WAIT" in str(error)
"""


def test_fixtures(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["pushhub_client.testing"]\n')
    (tmp_path / "test_it.py").write_text(TEST)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:asyncio",
        "-W",
        "error",
    ]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout
