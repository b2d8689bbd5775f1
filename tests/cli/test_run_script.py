"""scripts/run: a database of its own, and a second one that says that the first runs."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import outside
from tests.ports import free_port
from tests.serving import Output

SECONDS = 60.0


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with scripts/run, and with an environment that is current."""
    (tmp_path / "scripts").mkdir()
    shutil.copy2(outside.ROOT / "scripts/run", tmp_path / "scripts/run")
    (tmp_path / "scripts/setup").write_text("#!/bin/sh\n")
    (tmp_path / "scripts/setup").chmod(0o755)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    return tmp_path


def run(clone: Path, *arguments: str, **environ: str) -> "subprocess.Popen[str]":
    kept = {n: v for n, v in os.environ.items() if not n.startswith("PUSHHUB_")}
    return subprocess.Popen(
        ["scripts/run", *arguments],
        cwd=clone,
        env=kept | environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def port() -> int:
    return free_port()


def test_a_second_one_says_that_a_hub_runs_there(clone: Path, port: int) -> None:
    first = run(clone, "--port", str(port))
    try:
        assert first.stdout is not None
        assert first.stderr is not None
        output = Output(first.stdout, first.stderr)
        database = output.find(re.compile(r"pushhub is at .* \(database: (.+)\)"), SECONDS)[1]
        assert database == str(clone / f".run/hub-{port}.db"), "absolute, and for this port"
        said, error = run(clone, f"--port={port}").communicate(timeout=SECONDS)
    finally:
        first.send_signal(signal.SIGINT)
        first.wait(SECONDS)
    assert said == ""
    assert error == (
        f"pushhub: A hub already runs at http://127.0.0.1:{port}. Stop it (Ctrl-C in its "
        "terminal), or choose another --port.\n"
    )
    assert first.returncode == 0, "Ctrl-C is a clean end"
    assert not (clone / "pushhub.db").exists()


@pytest.mark.parametrize(
    ("arguments", "environ"),
    [
        (["--store", "memory://"], {}),
        (["--store=memory://"], {}),
        ([], {"PUSHHUB_STORE": "memory://"}),
    ],
)
def test_another_store_is_taken_as_given(
    arguments: list[str], environ: dict[str, str], clone: Path, port: int
) -> None:
    hub = run(clone, "--port", str(port), *arguments, **environ)
    try:
        assert hub.stdout is not None
        assert hub.stderr is not None
        Output(hub.stdout, hub.stderr).find(re.compile(r"\(store: memory://\)"), SECONDS)
    finally:
        hub.send_signal(signal.SIGINT)
        hub.wait(SECONDS)
    assert not (clone / ".run").exists()
