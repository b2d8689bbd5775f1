"""Runs the commands of a page about operations, from the first to the last, as an operator would:
in one folder, with a `systemctl` that starts and stops a real hub.
"""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
# A section starts the hub twice, on a machine that does much else.
SECONDS = 150.0

# `start` returns when the hub has said its address, `stop` when its process has ended.
_SYSTEMCTL = """#!/bin/bash
set -eu
case "$1" in
start)
    pushhub serve --dev --port 0 --drain-seconds 0 > serve.log 2>&1 &
    echo $! > pid
    for _ in $(seq 600); do
        grep -qs "pushhub is at" serve.log && exit 0
        kill -0 "$(cat pid)" 2>/dev/null || break
        sleep 0.05
    done
    cat serve.log >&2
    exit 1 ;;
stop)
    kill -TERM "$(cat pid)"
    while kill -0 "$(cat pid)" 2>/dev/null; do sleep 0.02; done
    rm pid ;;
esac
"""


class Story:
    """A folder in which commands run. `pushhub`, `python` and `systemctl` are those of the
    tests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bin").mkdir()
        (folder / "backups").mkdir()
        command = folder / "bin" / "systemctl"
        command.write_text(_SYSTEMCTL)
        command.chmod(command.stat().st_mode | stat.S_IEXEC)
        environ = {name: text for name, text in os.environ.items() if "PUSHHUB" not in name}
        self._environ = environ | {
            "PATH": f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PUSHHUB_STORE": f"sqlite:///{folder}/pushhub.db",
        }

    def run(self, script: str) -> str:
        """What a script prints; every command of it must succeed."""
        script = script.replace("/var/backups", str(self.folder / "backups"))
        script = script.replace("/var/lib/pushhub", str(self.folder))
        done = subprocess.run(
            ["bash", "-eu", "-o", "pipefail", "-c", script],
            cwd=self.folder,
            env=self._environ,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout

    @property
    def url(self) -> str:
        """Where the hub is."""
        found = re.search(r"pushhub is at (http://\S+)", (self.folder / "serve.log").read_text())
        assert found
        return found[1]


@contextmanager
def story(folder: Path) -> Iterator[Story]:
    """A story whose hub ends with the block."""
    told = Story(folder)
    try:
        yield told
    finally:
        pid = folder / "pid"
        if pid.exists():
            os.kill(int(pid.read_text()), signal.SIGKILL)


def scripts(page: str) -> dict[str, str]:
    """The commands of each section of a page, by its heading."""
    text = (ROOT / "docs" / page).read_text()
    sections = re.findall(r"^## (.+)\n((?:.|\n)*?)(?=^## |\Z)", text, re.MULTILINE)
    found = {
        heading: "\n".join(re.findall(r"^```bash\n((?:.|\n)*?)^```", body, re.MULTILINE))
        for heading, body in sections
    }
    return {heading: script for heading, script in found.items() if script}
