"""Sockets that a service manager has opened, and restarts that refuse no connection."""

import asyncio
import contextlib
import http.client
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pushhub.server.inherited_sockets import InheritedSocketError, check, inherited_sockets
from pushhub.server.sockets import Listeners
from pushhub.settings import Settings
from tests import outside
from tests.ports import free_port
from tests.redis_servers import Shelf
from tests.server.service_manager import SECONDS, environment, listening, service
from tests.serving import Output

DEV = ("--dev", "--store", "memory://", "--drain-seconds", "0.5")
RESTARTS = 1


def status(port: int, path: str = "/livez") -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


class Stream:
    """New connections, one after another, each with one request."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.made = 0
        self.refused = 0
        self.broken = 0
        self.statuses: dict[int, int] = {}
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            await self._one()
            await asyncio.sleep(0.005)

    async def _one(self) -> None:
        self.made += 1
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except ConnectionRefusedError:
            self.refused += 1
            return
        try:
            writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            head = await reader.read()
            if head:
                code = int(head.split()[1])
                self.statuses[code] = self.statuses.get(code, 0) + 1
            else:
                self.broken += 1
        except ConnectionError:
            self.broken += 1
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def served(self, more: int) -> None:
        """Wait for so many more responses."""
        wanted = sum(self.statuses.values()) + more
        async with asyncio.timeout(SECONDS):
            while sum(self.statuses.values()) < wanted:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def end(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_restart_refuses_no_connection(
    workers: int, redis_shelf: Shelf, tmp_path: Path
) -> None:
    flags = list(DEV)
    if workers > 1:
        flags += ["--store", redis_shelf.url("valkey9"), "--workers", str(workers)]
    with listening() as sock:
        port = sock.getsockname()[1]
        stream = None
        try:
            for _ in range(RESTARTS + 1):
                with service(*flags, folder=tmp_path, sockets=[sock]) as hub:
                    assert await asyncio.to_thread(hub.port) == port
                    stream = stream or Stream(port)
                    await stream.served(20)
                    hub.process.terminate()
                    assert await asyncio.to_thread(hub.ended) == 0
        finally:
            if stream is not None:
                await stream.end()
    assert stream is not None
    assert stream.refused == 0
    assert stream.statuses.keys() == {200}
    # A connection that the old process has accepted, and whose request was still on its way.
    assert stream.broken <= RESTARTS


async def test_without_an_inherited_socket_a_restart_refuses_connections(tmp_path: Path) -> None:
    """The control of the test above: its stream notices."""
    port = free_port()
    flags = [*DEV, "--port", str(port)]
    with service(*flags, folder=tmp_path) as hub:
        await asyncio.to_thread(hub.port)
        stream = Stream(port)
        await stream.served(5)
        hub.process.terminate()
        await asyncio.to_thread(hub.ended)
        async with asyncio.timeout(SECONDS):
            while not stream.refused:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await stream.end()


def test_the_sockets_of_both_listeners(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        public, second, control = (stack.enter_context(listening()) for _ in range(3))
        with service(
            *DEV,
            *("--control", "127.0.0.1:1"),
            folder=tmp_path,
            sockets=[public, control, second],
            environ={"LISTEN_FDNAMES": "pushhub.socket:control:pushhub.socket"},
        ) as hub:
            assert hub.port() == public.getsockname()[1]
            assert f"control is at http://127.0.0.1:{control.getsockname()[1]}" in str(hub.output)
            for sock in (public, second, control):
                assert status(sock.getsockname()[1]) == 200
            # Metrics are those of the control listener alone.
            assert status(control.getsockname()[1], "/metrics") == 200
            hub.process.terminate()
            assert hub.ended() == 0


def test_an_inherited_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "hub.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        sock.listen(10)
        with service(*DEV, folder=tmp_path, sockets=[sock]) as hub:
            hub.output.find(re.compile(rf"pushhub is at unix:{re.escape(str(path))}"), SECONDS)
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(SECONDS)
                client.connect(str(path))
                client.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
                assert client.recv(100).startswith(b"HTTP/1.1 200")
            hub.process.terminate()
            assert hub.ended() == 0
        assert path.exists(), "the file is the service manager's"


def test_systemd_itself_passes_the_socket(tmp_path: Path) -> None:
    """systemd-socket-activate starts the hub at the first connection, which gets a response."""
    activate = outside.require("systemd-socket-activate")
    port = free_port()
    process = subprocess.Popen(
        [
            *(activate, "-l", f"127.0.0.1:{port}", "--fdname=pushhub.socket"),
            *(sys.executable, "-m", "pushhub", "serve", *DEV),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=environment({}),
    )
    try:
        assert process.stdout
        assert process.stderr
        output = Output(process.stdout, process.stderr)
        output.find(re.compile("Listening on"), SECONDS)
        assert status(port) == 200
        output.find(re.compile(rf"pushhub is at http://127.0.0.1:{port}"), SECONDS)
        process.terminate()  # the hub has the id of the program that started it
        assert process.wait(SECONDS) == 0
        output.ended(SECONDS)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


# -- what is refused -----------------------------------------------------------


def inherited(count: int | str, names: str = "", pid: int | None = None) -> Listeners:
    environ = {"LISTEN_FDS": str(count), "LISTEN_PID": str(pid or os.getpid())}
    environ["LISTEN_FDNAMES"] = names
    found = inherited_sockets(environ)
    assert not environ, "no child takes them"
    return found


def test_the_sockets_of_another_process_are_left_alone() -> None:
    assert inherited(1, pid=os.getppid()) == Listeners([], [])
    assert inherited_sockets({}) == Listeners([], [])
    assert inherited(0) == Listeners([], [])


@pytest.mark.parametrize("count", ["-1", "many", "65", "1.0", "²"])
def test_a_count_that_is_none_is_refused(count: str) -> None:
    with pytest.raises(InheritedSocketError, match="LISTEN_FDS is a number"):
        inherited(count)


def refusal(folder: Path, *flags: str, sock: socket.socket, names: str = "pushhub.socket") -> str:
    with service(*flags, folder=folder, sockets=[sock], environ={"LISTEN_FDNAMES": names}) as hub:
        assert hub.ended() == 1
        lines = [line for line in hub.output.lines if line.startswith("pushhub: ")]
        assert len(hub.output.lines) == len(lines) == 1, str(hub.output)
        return lines[0]


def test_a_socket_that_does_not_listen_is_refused(tmp_path: Path) -> None:
    with socket.socket() as sock:
        assert "needs ListenStream= and Accept=no" in refusal(tmp_path, *DEV, sock=sock)


OPEN = Settings(dev=True)
CONTROL = Settings(control="127.0.0.1:5561")


@pytest.mark.parametrize(
    ("settings", "public", "control", "reason"),
    [
        (OPEN, "127.0.0.1", None, None),
        (OPEN, "0.0.0.0", None, "needs no key"),
        (OPEN, "::", None, "needs no key"),
        (CONTROL, "0.0.0.0", "127.0.0.1", None),
        (CONTROL, None, "0.0.0.0", "needs no key"),
        (Settings(control="10.0.0.1:5561"), None, "0.0.0.0", None),
        (Settings(), None, "127.0.0.1", "`control` is not set"),
        (Settings(unix_socket="/run/a"), "127.0.0.1", None, "`unix_socket` names another"),
        (Settings(), "0.0.0.0", None, None),
    ],
)
def test_a_listener_without_keys_is_on_loopback(
    settings: Settings, public: str | None, control: str | None, reason: str | None
) -> None:
    """As the settings have it for sockets that the hub opens itself."""
    with contextlib.ExitStack() as stack:
        pair = [[stack.enter_context(bound(host))] if host else [] for host in (public, control)]
        listeners = Listeners(*pair)
        if reason is None:
            check(listeners, settings)
        else:
            with pytest.raises(InheritedSocketError, match=re.escape(reason)):
                check(listeners, settings)


def bound(host: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, 0), family=family)
