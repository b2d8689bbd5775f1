"""A hub for the tests of your program: `pytest_plugins = ["pushhub_client.testing"]`.

The fixtures start `pushhub serve --dev` on a free port of loopback, with a log in memory. They need
pytest, and pushhub in the same environment.
"""

import os
import queue
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from .client import Client

# On a busy machine; only a start that fails takes so long.
_START_SECONDS = 60.0
_STOP_SECONDS = 10.0
_URL = re.compile(r"pushhub is at (http://127\.0\.0\.1:\d+)")


@contextmanager
def running_hub(**settings: str) -> Iterator[str]:
    """A hub for as long as the block runs: its URL.

    Args:
        settings: settings of pushhub by their names, as the environment has them: `max_wait="5"`.

    Raises:
        RuntimeError: the hub did not start; the message has its output.
    """
    values = {"store": "memory://", "dev": "true", "drain_seconds": "0", **settings}
    environ = {name: text for name, text in os.environ.items() if not name.startswith("PUSHHUB_")}
    environ |= {f"PUSHHUB_{name.upper()}": text for name, text in values.items()}
    # In an empty folder there is no configuration file to be found.
    with tempfile.TemporaryDirectory(prefix="pushhub-") as folder:
        process = subprocess.Popen(
            [sys.executable, "-m", "pushhub", "serve", "--port", "0"],
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield _url(process)
        finally:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout:
                process.stdout.close()


def _url(process: "subprocess.Popen[str]") -> str:
    """The URL that a hub prints. Its output is read to the end, so that no pipe fills up."""
    found: queue.Queue[str | None] = queue.Queue()
    lines: list[str] = []

    def read() -> None:
        for line in process.stdout or ():
            # Only the start is of interest.
            if len(lines) < 100:
                lines.append(line)
            if hit := _URL.search(line):
                found.put(hit[1])
        found.put(None)

    threading.Thread(target=read, daemon=True).start()
    try:
        url = found.get(timeout=_START_SECONDS)
    except queue.Empty:
        url = None
    if url is None:
        raise RuntimeError("The hub did not start. Its output:\n" + "".join(lines))
    return url


@pytest.fixture(scope="session")
def pushhub_url() -> Iterator[str]:
    """The URL of a hub that all tests of the session share."""
    with running_hub() as url:
        yield url


@pytest.fixture
def pushhub_client(pushhub_url: str) -> Iterator[Client]:
    """A client of the hub of `pushhub_url`."""
    with Client(pushhub_url) as client:
        yield client
