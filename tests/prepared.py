"""Servers that start in a tenth of a second: forked from a process that has imported everything.

Most of a server's start are its imports, and the tests start more than a thousand. Each process of
the tests has one prepared process, `python -m tests.prepared`, made with the first server. It has
no thread and no event loop, and forks at each request; the child runs the same module with the same
arguments, environment, folder and streams as a new interpreter would.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import json
import os
import queue
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import threading
from importlib import import_module
from typing import IO, Any

_FORK_SECONDS = 60.0
# What a server imports with the first request or with a setting is left out.
_IMPORTED = (
    *("pushhub.cli.commands", "pushhub.cli.serve", "pushhub.server.server", "pushhub.app"),
    *("uvicorn.main", "uvicorn.loops.auto", "uvicorn.protocols.http.httptools_impl", "uvloop"),
    *("pushhub.server.http1.factory", "pushhub.store.memory", "pushhub.store.sqlite.store"),
    *("pushhub.store.redis.store", "pushhub.xmpp.server", "pushhub.origin.origin"),
)


class PreparedProcess:
    """A child of the prepared process, used as a `subprocess.Popen` with text streams."""

    def __init__(self, pid: int, args: list[str], stdout: IO[str], stderr: IO[str]) -> None:
        self.pid = pid
        self.args = args
        self.stdout = stdout
        self.stderr = stderr
        self.returncode: int | None = None
        self._ended = threading.Event()

    def poll(self) -> int | None:
        """The exit status; None while the process runs."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit status.

        Raises:
            subprocess.TimeoutExpired: the process runs longer.
        """
        if not self._ended.wait(timeout):
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, if the process runs."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _end(self, status: int) -> None:
        self.returncode = status
        self._ended.set()


class Preparation:
    """The prepared process of this process, and its children."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environ = {name: text for name, text in os.environ.items() if "PUSHHUB" not in name}
        # A pipe as its output: a child's streams are buffered as those of a server are.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.prepared", str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            pass_fds=[theirs.fileno()],
            env=environ,
        )
        theirs.close()
        self._starting, self._known = threading.Lock(), threading.Lock()
        self._forked: queue.Queue[int] = queue.Queue()
        self._children: dict[int, PreparedProcess] = {}
        # The statuses of children that ended before they were known here.
        self._early: dict[int, int] = {}
        threading.Thread(target=self._listen, daemon=True).start()

    def start(self, module: str, args: list[str], environ: dict[str, str], cwd: str) -> Any:
        """Start `python -m MODULE ARGS…`."""
        out, err = os.pipe(), os.pipe()
        document = {"module": module, "args": args, "environ": environ, "cwd": cwd}
        # A message on a socket has a bound; the settings of a test have not.
        request = os.memfd_create("request")
        os.write(request, json.dumps(document).encode())
        with self._starting:
            socket.send_fds(self._socket, [b"fork"], [request, out[1], err[1]])
            pid = self._forked.get(timeout=_FORK_SECONDS)
        for fd in (request, out[1], err[1]):
            os.close(fd)
        streams = (os.fdopen(fd, encoding="utf-8") for fd in (out[0], err[0]))
        child = PreparedProcess(pid, [sys.executable, "-m", module, *args], *streams)
        with self._known:
            if pid in self._early:
                child._end(self._early.pop(pid))
            else:
                self._children[pid] = child
        return child

    def _listen(self) -> None:
        while data := self._socket.recv(1024):
            pid, status = json.loads(data)
            if status is None:
                self._forked.put(pid)
                continue
            with self._known:
                if child := self._children.pop(pid, None):
                    child._end(status)
                else:
                    self._early[pid] = status


_preparations: dict[int, Preparation] = {}


def start(module: str, args: list[str], environ: dict[str, str], cwd: str) -> Any:
    """Start `python -m MODULE ARGS…` as a fork of this process's prepared process."""
    own = os.getpid()
    if own not in _preparations:
        _preparations[own] = Preparation()
    return _preparations[own].start(module, args, environ, cwd)


# -- the prepared process --------------------------------------------------------------------------


def _fork(fds: list[int]) -> dict[str, Any] | int:
    """The process id of a new child; in the child the request."""
    if pid := os.fork():
        for fd in fds:
            os.close(fd)
        return pid
    with open(fds[0], "rb") as file:
        file.seek(0)
        request: dict[str, Any] = json.load(file)
    for number, fd in enumerate(fds[1:], 1):
        os.dup2(fd, number)
        os.close(fd)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environ"])
    return request


def _reap(connection: socket.socket) -> None:
    """Report the children that have ended."""
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            status = os.waitstatus_to_exitcode(ended[1])
            connection.send(json.dumps([ended[0], status]).encode())


def _serve(connection: socket.socket) -> dict[str, Any]:
    """Fork at each request; returns in the children only, with their request."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_READ)
        selector.register(reading, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is not connection:
                    os.read(reading, 4096)
                    _reap(connection)
                    continue
                data, fds, _, _ = socket.recv_fds(connection, 16, 3)
                if not data:
                    os._exit(0)
                forked = _fork(fds)
                if not isinstance(forked, int):
                    break
                connection.send(json.dumps([forked, None]).encode())
            else:
                continue
            break
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for fd in (reading, writing):
        os.close(fd)
    connection.close()
    return forked


def _nothing() -> None:
    """In the place of `gc.unfreeze`, which a server calls when it has stopped."""


def _fill_caches() -> None:
    """Do what each start of a server repeats with the same result: build the command line of
    `serve` with its hundred options, compile the routes, and search for SASL mechanisms.
    """
    typer: Any = import_module("typer.main")
    commands: Any = import_module("pushhub.cli.commands")
    typer.get_command = functools.cache(typer.get_command)
    commands.command_line = functools.cache(commands.command_line)
    for option in typer.get_command(commands.command_line("serve")).commands["serve"].params:
        option.get_runtime_param()
    settings = import_module("pushhub.settings").Settings(dev=True, store="memory://")
    import_module("pushhub.app").App(settings)


def main() -> None:
    """Import what servers import, and fork. What is frozen here stays so in the children: their
    garbage collector visits own objects only. A visit writes, and a written page is copied; at
    the start and at the exit of a server this took longer than all else together.
    """
    for name in _IMPORTED:
        import_module(name)
    _fill_caches()
    gc.collect()
    gc.freeze()
    request = _serve(socket.socket(fileno=int(sys.argv[1])))
    gc.unfreeze = _nothing
    sys.argv = [request["module"], *request["args"]]
    # `-m` puts the folder of the process in front of the path.
    sys.path[0] = request["cwd"]
    runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
