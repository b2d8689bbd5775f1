"""Strophe.js 5 in a page of another origin, as jsdom makes one, on both drivers."""

import fcntl
import json
import subprocess
from pathlib import Path

import pytest

from tests import outside
from tests.serving import serve

HERE = Path(__file__).parent
INSTALL_SECONDS = 100
SECONDS = 60


@pytest.fixture(scope="session")
def node() -> str:
    """Node.js, with the packages of the lock installed beside this file."""
    program, npm = outside.require("node"), outside.require("npm")
    with (HERE / "package.json").open() as lock:
        # One of the processes that run tests installs; the others wait for it.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (HERE / "node_modules" / ".package-lock.json").exists():
            command = [npm, "ci", "--silent", "--no-audit", "--no-fund"]
            subprocess.run(command, cwd=HERE, check=True, timeout=INSTALL_SECONDS)
    return program


@pytest.mark.parametrize("driver", ["front", "asgi"])
def test_two_users_chat_and_a_reload_misses_nothing(driver: str, node: str) -> None:
    with serve(driver) as server:
        address = f"http://127.0.0.1:{server.port}/http-bind"
        done = subprocess.run(
            [node, "chat.mjs", address], cwd=HERE, capture_output=True, text=True, timeout=SECONDS
        )
    assert done.returncode == 0, done.stdout + done.stderr
    said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    assert ["romeo", "CONNECTED", None] in said
    assert ["juliet", "heard", ["She speaks"]] in said
    assert ["romeo", "heard", ["O Romeo"]] in said
    assert ["juliet again", "ATTACHED", None] in said
    assert ["juliet again", "heard", ["while she was away", "and after"]] in said
    assert ["romeo", "DISCONNECTED", None] in said
    assert not [line for line in said if "FAIL" in str(line[1])]
