"""What tests of the commands stand on: a real hub, and a folder and an environment of their own."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without a pushhub.toml, and an environment without settings."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("PUSHHUB_"):
            monkeypatch.delenv(name)
    return tmp_path


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
