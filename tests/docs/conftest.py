"""A real server for the commands of the documents."""

import os
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import IO

import pytest

START_SECONDS = 60
STOP_SECONDS = 15


def drain(stdout: IO[str], lines: queue.Queue[str]) -> None:
    for line in stdout:
        lines.put(line)


@pytest.fixture
def server() -> Iterator[str]:
    """The address of a `pushhub serve --dev` in a process of its own, on a free port."""
    command = [sys.executable, "-m", "pushhub", "serve", "--dev", "--port", "0"]
    command += ["--store", "memory://", "--drain-seconds", "0"]
    # What the developer has set is no part of what the documents promise.
    env = {name: value for name, value in os.environ.items() if not name.startswith("PUSHHUB_")}
    # Its metrics have a series for each check of the canary, after the first round.
    env["PUSHHUB_CANARY"] = "1"
    # They have a series for each namespace with a limit.
    env["PUSHHUB_NAMESPACES"] = '{"news": {"retained_bytes": 1000000000}}'
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
    assert process.stdout is not None
    lines: queue.Queue[str] = queue.Queue()
    # Read to the end, or a full pipe would stop the server.
    reader = threading.Thread(target=drain, args=(process.stdout, lines))
    reader.start()
    try:
        found = None
        while found is None:
            line = lines.get(timeout=START_SECONDS)
            found = re.search(r"pushhub is at (http://\S+)", line)
        yield found[1]
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join()
        process.stdout.close()
