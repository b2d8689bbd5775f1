"""Commands that scripts/release runs, and the hub that it uses."""

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

START_SECONDS = 60.0
# Of one command; the fast tests of the sdist take a minute of processor time.
COMMAND_SECONDS = 900.0
# Characters of what a failed command printed; the end has the reason.
MOST_SHOWN = 8_000
_ADDRESS = re.compile(r"pushhub is at (http://127\.0\.0\.1:\d+)")


class Failed(Exception):
    """A sentence: what was done, and what is wrong with its result."""


@contextmanager
def hub(venv: Path) -> Iterator[str]:
    """A hub of an environment on a free port; its address."""
    command: list[str | Path] = [
        venv / "bin" / "pushhub",
        "serve",
        "--dev",
        "--port",
        "0",
        "--store",
        "memory://",
    ]
    environ = {n: v for n, v in os.environ.items() if not n.startswith(("PUSHHUB_", "PYTHON"))}
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        log = stack.enter_context((Path(folder) / "log").open("w+"))
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environ | {"PUSHHUB_DRAIN_SECONDS": "0"},
            stdout=log,
            stderr=log,
        )
        try:
            yield _address(Path(log.name), process)
        finally:
            process.terminate()
            process.wait(START_SECONDS)


def run(
    *command: str | Path | None, cwd: Path | None = None, environ: dict[str, str] | None = None
) -> str:
    """What a command prints. A Failed says what it printed if it fails."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words,
            cwd=cwd,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"`{' '.join(words)}` has not ended after {COMMAND_SECONDS:.0f} s.") from None
    if done.returncode:
        raise Failed(f"`{' '.join(words)}` failed:\n{done.stdout[-MOST_SHOWN:]}")
    return done.stdout


def step(text: str) -> None:
    print(f"release: {text}", flush=True)


def _address(log: Path, process: "subprocess.Popen[bytes]") -> str:
    """The address that a hub writes to its log when it listens."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        if found := _ADDRESS.search(log.read_text()):
            return found[1]
        # A file has no event for what was written to it.
        time.sleep(0.05)
    raise Failed(f"The hub of the wheel does not listen:\n{log.read_text()}")
