"""The fast lane has the tests that start no process, and keeps others out."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.floors import FLOORS, below
from tests.lanes import ROOT, imported, starts_processes


@pytest.mark.parametrize(
    "module",
    ["tests/hub/test_hub.py", "tests/log/test_event.py", "tests/xmpp/routing/test_roster.py"],
)
def test_tests_without_a_process_are_fast(module: str) -> None:
    assert not starts_processes(ROOT / module)


@pytest.mark.parametrize(
    "module",
    [
        "tests/hubs.py",
        "tests/redis_servers.py",
        "tests/api/test_wait.py",
        "tests/embedding/test_leaving.py",  # starts processes by asyncio
        "tests/test_lanes.py",
    ],
)
def test_tests_with_a_process_are_slow(module: str) -> None:
    assert starts_processes(ROOT / module)


def test_imports_are_read_as_python_reads_them() -> None:
    source = """
import os, subprocess
from tests.serving import (
    Server,  # a process
    serve as start,
)
if TYPE_CHECKING:
    import multiprocessing
"""
    names = {"os", "subprocess", "tests.serving", "tests.serving.Server", "tests.serving.serve"}
    assert imported(source) == names


def fast(folder: Path, text: str, *more: str) -> str:
    """The output of the fast lane on one test module."""
    (folder / "test_one.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-p", "tests.lanes", "--fast", "-q", "-rA", "-p"]
    command += ["no:cacheprovider", "--rootdir", str(folder), str(folder)]
    done = subprocess.run([*command, *more], capture_output=True, text=True, cwd=ROOT)
    return done.stdout


def test_a_fast_test_that_starts_a_process_fails(tmp_path: Path) -> None:
    hidden = "def test_it():\n    import subprocess\n    subprocess.run(['true'])\n"
    assert "a fast test started a process (subprocess.Popen)" in fast(tmp_path, hidden)


def test_a_fast_test_that_computes_for_long_fails(tmp_path: Path) -> None:
    busy = """
import time

def test_it():
    end = time.process_time() + 3.1
    while time.process_time() < end:
        pass
"""
    assert "mark it slow, or make it faster" in fast(tmp_path, busy)


def test_a_slow_test_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "process.py").write_text("")
    slow = "import pytest\n@pytest.mark.slow\ndef test_it(): pass\n"
    assert "1 deselected" in fast(tmp_path, slow)
    assert "no tests ran" in fast(tmp_path, "import subprocess\ndef test_it(): pass\n")


def test_a_room_below_its_floor_is_found() -> None:
    good = {room: floor + 1 for room, floor in FLOORS.items()}
    assert below(good) == []
    assert below(good | {"log": FLOORS["log"] - 0.1}) == ["log"]
    assert below({room: value for room, value in good.items() if room != "log"}) == ["log"]


def test_a_bound_of_time_does_not_hold_under_coverage(tmp_path: Path) -> None:
    """Coverage makes a test several times slower."""
    busy = """
import time

def test_it():
    end = time.process_time() + 3.1
    while time.process_time() < end:
        pass
"""
    assert "1 passed" in fast(tmp_path, busy, "--cov=pushhub/log", "--cov-report=")


def test_the_whole_run_ends_with_the_floors() -> None:
    """A part of it does not: a floor is that of all tests of a room."""
    lines = (ROOT / "scripts" / "test").read_text().splitlines()
    at = lines.index("  .venv/bin/python -m tests.floors || status=1")
    assert lines[at - 1] == "if [ ${#arguments[@]} = 0 ]; then"
    assert "pytest -n" in lines[at - 2]
    assert lines[-1] == 'exit "$status"'
