"""A real hub, for commands that need one."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module")
def hub_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real `pushhub serve --dev`."""
    command = [sys.executable, "-m", "pushhub", "serve", "--dev", "--store", "memory://"]
    environ = {k: v for k, v in os.environ.items() if not k.startswith("PUSHHUB_")}
    with subprocess.Popen(
        [*command, "--port", "0", "--drain-seconds", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=tmp_path_factory.mktemp("hub"),
        env=environ,
        text=True,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            yield next(word for word in line.split() if word.startswith("http://"))
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=20)
    assert process.returncode == 0
