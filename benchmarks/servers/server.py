"""A server as our child: started in a temporary folder, asked until it answers, stopped by pid."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Self

from pushhub.bench.processes import Processes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from pushhub.bench.target import Target

PEERS = Path(__file__).parent.parent / "peers"

_START_SECONDS = 20.0
_STOP_SECONDS = 10.0

# What the page's token and the back end's key are where a server only compares them.
TOKEN = "a-token-that-is-as-long-as-a-small-jwt." + "x" * 180
KEY = "a-key-for-the-back-end"


class Absent(Exception):
    """The server cannot be run here; the message says what is missing."""


class Server:
    """Subclasses say how it is started, and how it is spoken to."""

    name = ""
    about = ""
    """How it is set up, for the report."""
    lacks: Mapping[str, str] = MappingProxyType({})
    """Scenarios that it cannot be put through, and why."""
    most_holds = 1_000_000
    most_publishes = 1_000_000
    """More would only take time."""

    def __init__(self) -> None:
        self.port = free_port()
        self.folder = Path()
        self.children: list[subprocess.Popen[bytes]] = []

    # For subclasses

    def missing(self) -> str | None:
        """What it needs and is not here; None if it can be run."""
        return None

    def version(self) -> str:
        """Of the software."""
        raise NotImplementedError

    def launch(self) -> None:
        """Start its processes."""
        raise NotImplementedError

    def target(self) -> Target:
        """What the load goes to."""
        raise NotImplementedError

    # Its life

    def __enter__(self) -> Self:
        wrong = self.missing()
        if wrong:
            raise Absent(f"{self.name} is skipped: {wrong}.")
        self.folder = Path(tempfile.mkdtemp(prefix=f"bench-{self.name}-"))
        # A worker that has changed its user, as nginx's may, must get in.
        self.folder.chmod(0o755)
        try:
            self.launch()
            self.await_port(self.port)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def spawn(self, *command: str, **environ: str) -> subprocess.Popen[bytes]:
        """Start a process in the temporary folder; what it says goes to a file there."""
        inherited = {n: v for n, v in os.environ.items() if not n.startswith("PUSHHUB_")}
        log = (self.folder / "log").open("ab")
        with log:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=inherited | environ,
            )
        self.children.append(child)
        return child

    def processes(self) -> Processes:
        """What is measured: the first child and all that descend from it."""
        return Processes(self.children[0].pid)

    def await_port(self, port: int) -> None:
        """Wait until somebody listens there."""
        end = time.monotonic() + _START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                ended = any(child.poll() is not None for child in self.children)
                if ended or time.monotonic() > end:
                    raise RuntimeError(f"{self.name} does not start:\n{self.said()}") from None
                time.sleep(0.02)

    def said(self) -> str:
        """What its processes wrote."""
        return (self.folder / "log").read_text(errors="replace")

    def stop(self) -> None:
        """End what was started, and forget its folder."""
        for child in self.children:
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
        for child in self.children:
            try:
                child.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self.children.clear()
        shutil.rmtree(self.folder, ignore_errors=True)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
