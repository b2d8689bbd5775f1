"""The README's longer sections work as a newcomer reads them, block by block."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests import outside
from tests.docs.test_blocks import BLOCK, CURL, commands
from tests.ports import free_port
from tests.serving import Output

README = (outside.ROOT / "README.md").read_text()
SECTIONS = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL))
SECONDS = 60.0
# The ports of the README; each test has others.
PORTS = ("5561", "8000", "8080", "8081")


class Reader:
    """Somebody in a terminal, in a folder with an environment, who types what a section shows."""

    def __init__(self, folder: Path, open_after: ExitStack) -> None:
        self._folder = folder
        self._open_after = open_after
        self.ports = {port: str(free_port()) for port in PORTS}
        kept = {n: v for n, v in os.environ.items() if not n.startswith("PUSHHUB_")}
        self.environ = kept | {"PUSHHUB_DRAIN_SECONDS": "0"}
        (folder / ".venv").symlink_to(sys.prefix)

    def _typed(self, script: str) -> str:
        for usual, real in self.ports.items():
            script = re.sub(rf"\b{usual}\b", real, script)
        return script

    def _shell(self, script: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            ["bash", "-eu", "-o", "pipefail", "-c", self._typed(script)],
            cwd=self._folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def serves(self, script: str) -> Output:
        """A block whose last command goes on; returns when the hub listens."""
        shell = self._shell(script)
        self._open_after.callback(end, shell)
        assert shell.stdout is not None
        assert shell.stderr is not None
        output = Output(shell.stdout, shell.stderr)
        output.find(re.compile("pushhub is at"), SECONDS)
        if "http.server" in script:
            self._answers("8000")
        return output

    def _answers(self, port: str) -> None:
        """Wait for a server that prints no line when it listens."""
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", int(self.ports[port])), SECONDS).close()
                return
            except ConnectionRefusedError:
                time.sleep(0.05)
        raise AssertionError(f"port {port} does not answer")

    def types(self, *scripts: str) -> str:
        """Blocks that end, in one terminal; returns what they print."""
        shell = self._shell("\n".join([*scripts, "wait"]))
        out, err = shell.communicate(timeout=SECONDS)
        assert shell.returncode == 0, f"{scripts}\n{out}\n{err}"
        return out


def end(shell: "subprocess.Popen[str]") -> None:
    """Ctrl-C in its terminal; bash in the background of no terminal may not hear it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            os.killpg(shell.pid, number)
        except ProcessLookupError:
            break
        time.sleep(0.1)
    shell.wait(SECONDS)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    with ExitStack() as open_after:
        yield Reader(tmp_path, open_after)


def blocks(section: str) -> list[str]:
    return [found["sh"] for found in BLOCK.finditer(SECTIONS[section])]


def test_upgrade_your_api(reader: Reader) -> None:
    outside.require("curl")
    serve, wait, change = blocks("Upgrade your API")
    # The hub of `scripts/run` has its port, and goes on running.
    first = ".venv/bin/pushhub serve --dev --port 8080 --store sqlite:///pushhub.db"
    reader.serves(first)
    reader.serves(serve)
    said = reader.types(wait, change)
    assert '{"notified":1}' in said
    _, _, answer = said.partition("HTTP/1.1 ")
    assert answer.startswith("200 ")
    assert "preference-applied: wait=25" in answer.lower()
    assert '{"state": "paid"}' in answer


def test_what_is_said_to_the_main_port_is_told(reader: Reader) -> None:
    outside.require("curl")
    serve, _, change = blocks("Upgrade your API")
    hub = reader.serves(serve)
    reader.types(change.replace("5561", "8081"))
    hub.find(re.compile("origin.misdirected"), SECONDS)


def test_in_production(reader: Reader) -> None:
    outside.require("curl")
    start, use, *_ = blocks("In production")
    init, serve = start.strip().splitlines()
    reader.environ["PUSHHUB_KEY"] = reader.types(init).strip()
    file = reader._folder / "pushhub.toml"
    assert "[[token_keys]]" in file.read_text()
    file.write_text(reader._typed(file.read_text()))
    reader.serves(serve)
    said = reader.types(use)
    assert '"duplicate":false' in said
    assert '"data":{"total": 3}' in said, "the bytes that were published"


def test_no_block_is_left_out() -> None:
    """Each `sh` block is run here, or by test_blocks as it is all curl."""
    here = [*blocks("Upgrade your API"), *blocks("In production")[:2]]
    for found in BLOCK.finditer(README):
        script = found["sh"]
        assert script in here or all(map(CURL.match, commands(script))), script
