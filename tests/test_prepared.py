"""A server from the prepared process is as one of a new interpreter."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import prepared

PROBE = """
import json, os, random, sys
print(json.dumps({
    "argv": sys.argv[1:], "cwd": os.getcwd(), "name": os.environ.get("PUSHHUB_NAME"),
    "home": "HOME" in os.environ, "fds": sorted(os.listdir("/proc/self/fd")),
    "random": random.random(), "main": __name__, "term": repr(__import__("signal").getsignal(15)),
    "child": repr(__import__("signal").getsignal(17)), "tty": sys.stdout.isatty(),
}))
print("told", file=sys.stderr)
if "wait" in sys.argv:
    sys.stdout.flush()
    sys.stdin.read() or __import__("signal").pause()
sys.exit(int(sys.argv[1]))
"""


@pytest.fixture
def probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "probe_of_start.py").write_text(PROBE)
    return "probe_of_start"


def told(process: Any, status: int) -> dict[str, Any]:
    with process.stdout, process.stderr:
        found: dict[str, Any] = json.loads(process.stdout.read())
        assert process.stderr.read() == "told\n"
    assert process.wait(20) == status
    assert process.poll() == status
    return found


def test_a_child_has_what_a_new_process_has(probe: str, tmp_path: Path) -> None:
    environ = {"PUSHHUB_NAME": "x", "PATH": os.environ["PATH"]}
    forked = told(prepared.start(probe, ["3"], environ, str(tmp_path)), 3)
    again = told(prepared.start(probe, ["3"], environ, str(tmp_path)), 3)
    new = told(
        subprocess.Popen(
            [sys.executable, "-m", probe, "3"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env=environ,
        ),
        3,
    )
    assert len({found.pop("random") for found in (forked, again, new)}) == 3
    assert forked == again == new
    assert new["cwd"] == str(tmp_path)


def test_a_child_is_signalled_and_waited_for(probe: str, tmp_path: Path) -> None:
    child = prepared.start(probe, ["0", "wait"], dict(os.environ), str(tmp_path))
    assert child.stdout.readline()
    assert child.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.01)
    child.kill()
    assert child.wait(20) == -signal.SIGKILL
    child.terminate()
    child.stdout.close()
    child.stderr.close()


def test_settings_of_a_megabyte_arrive() -> None:
    many = {"PUSHHUB_" + "X" * 10 + str(number): "y" * 1000 for number in range(1000)}
    child = prepared.start("json.tool", ["/nowhere"], many, "/")
    with child.stdout, child.stderr:
        assert "No such file" in child.stderr.read()
    assert child.wait(20) != 0


def test_the_exit_of_a_child_visits_its_own_objects_only(tmp_path: Path) -> None:
    """Its own cycles are still collected, so an exception that was never retrieved is reported."""
    (tmp_path / "probe_of_exit.py").write_text(
        "import gc\n"
        "class Cycle:\n"
        "    def __init__(self): self.own = self\n"
        "    def __del__(self): print('collected', flush=True)\n"
        "gc.unfreeze()\n"
        "print(gc.get_freeze_count() > 50_000, flush=True)\n"
        "gc.disable()\n"
        "Cycle()\n"
    )
    child = prepared.start("probe_of_exit", [], dict(os.environ), str(tmp_path))
    with child.stdout, child.stderr:
        assert child.stdout.read() == "True\ncollected\n"
        assert child.stderr.read() == ""
    assert child.wait(20) == 0
