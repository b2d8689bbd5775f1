"""A service manager as far as a service sees it: its datagrams, and sockets that it keeps open."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.serving import Output

SECONDS = 60.0
_PORT = re.compile(r"pushhub is at http://127\.0\.0\.1:(\d+)")
# Gives a process the sockets from descriptor 3 on, as systemd does: LISTEN_PID is its own id, which
# is known only in that process.
_LAUNCHER = """
import os, sys
held = [int(one) for one in sys.argv[1].split(",") if one]
copies = [os.dup2(os.dup(one), 100 + index) for index, one in enumerate(held)]
for index, one in enumerate(copies):
    os.dup2(one, 3 + index, inheritable=True)
os.environ["LISTEN_PID"] = str(os.getpid())
os.environ["LISTEN_FDS"] = str(len(held))
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""
# Blocks the loop by SIGUSR1, until the file is there; another thread would go on running.
BLOCKER = """
import os, signal, sys, time
def block(*_):
    print("blocked", flush=True)
    while not os.path.exists({release!r}):
        time.sleep(0.02)
signal.signal(signal.SIGUSR1, block)
sys.argv[0] = "pushhub"
from pushhub.cli import main
main()
"""


class Manager:
    """Receives the messages of a service."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.received: list[dict[str, str]] = []

    def message(self, seconds: float) -> dict[str, str] | None:
        """The next message; None if none comes in time."""
        self._socket.settimeout(seconds)
        try:
            text = self._socket.recv(4096).decode()
        except (TimeoutError, BlockingIOError):
            return None
        message = dict(line.split("=", 1) for line in text.split("\n"))
        self.received.append(message)
        return message

    def until(self, name: str, seconds: float = SECONDS) -> dict[str, str]:
        """The next message that has the variable."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            message = self.message(left)
            if message is not None and name in message:
                return message
        raise AssertionError(f"no {name} within {seconds:g} s: {self.received}")

    def drain(self) -> None:
        """Receive what has been sent until now."""
        while self.message(0.001) is not None:
            pass

    def close(self) -> None:
        self._socket.close()


class Service:
    """A hub that a service manager has started."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        assert process.stderr
        self.process = process
        self.output = Output(process.stdout, process.stderr)

    def port(self) -> int:
        """The public port, once the hub serves."""
        return int(self.output.find(_PORT, SECONDS)[1])

    def ended(self) -> int:
        status = self.process.wait(SECONDS)
        self.output.ended(SECONDS)
        return status


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of this process without settings, and `extra`."""
    own = {name: text for name, text in os.environ.items() if not name.startswith("PUSHHUB_")}
    return {**own, "PUSHHUB_LOG_FORMAT": "json", **extra}


@contextmanager
def service(
    *flags: str,
    folder: Path,
    sockets: list[socket.socket] | None = None,
    program: list[str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Iterator[Service]:
    """A hub with flags of `pushhub serve` and variables, and with inherited sockets."""
    own = [*(program or ["-m", "pushhub"]), "serve", *flags]
    passed = [sock.fileno() for sock in sockets or ()]
    launcher = ["-c", _LAUNCHER, ",".join(map(str, passed))] if sockets is not None else []
    process = subprocess.Popen(
        [sys.executable, *launcher, *own],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=environment(environ or {}),
        pass_fds=passed,
    )
    try:
        yield Service(process)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def listening(host: str = "127.0.0.1") -> socket.socket:
    """A socket as a socket unit opens it."""
    sock = socket.create_server((host, 0), backlog=4096)
    sock.set_inheritable(True)
    return sock
