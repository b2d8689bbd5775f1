"""A hub that listens on a Unix socket: one process, and two workers."""

import asyncio
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.redis_servers import Shelf
from tests.serving import Output, events_of, fresh
from tests.wire import Client, Response

SECONDS = 30.0
_SERVES = re.compile(r"pushhub is at unix:(\S+)")


class Hub:
    """A server on a socket in a folder of its own."""

    def __init__(self, path: Path, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        assert process.stderr
        self.path = path
        self.process = process
        self.output = Output(process.stdout, process.stderr)

    def started(self) -> "Hub":
        assert self.output.find(_SERVES, SECONDS)[1] == str(self.path)
        return self

    async def connect(self) -> Client:
        return Client(*await asyncio.open_unix_connection(str(self.path)))

    async def ask(self, method: str, target: str, body: bytes = b"", **headers: str) -> Response:
        async with await self.connect() as client:
            fields = {name.replace("_", "-"): text for name, text in headers.items()}
            return await client.ask(method, target, fields, body)

    def ended(self) -> int:
        status = self.process.wait(SECONDS)
        self.output.ended(SECONDS)
        return status


def there(path: Path) -> bool:
    return path.exists()


def is_socket(path: Path, permissions: int) -> bool:
    found = path.stat()
    return stat.S_ISSOCK(found.st_mode) and stat.S_IMODE(found.st_mode) == permissions


@contextmanager
def serving(path: Path, *flags: str, store: str = "memory://") -> Iterator[Hub]:
    command = [
        *(sys.executable, "-m", "pushhub", "serve", "--dev", "--store", store),
        *("--unix-socket", str(path), "--drain-seconds", "0", "--log-format", "json", *flags),
    ]
    environ = {name: text for name, text in os.environ.items() if not name.startswith("PUSHHUB_")}
    with tempfile.TemporaryDirectory(prefix="pushhub-") as folder:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            env=environ,
        )
        try:
            hub = Hub(path, process)
            yield hub
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                hub.ended()
            assert "Traceback" not in str(hub.output), hub.output
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


@pytest.fixture
def path() -> Iterator[Path]:
    # pytest's folders have names that are longer than those of a socket may be.
    with tempfile.TemporaryDirectory(prefix="ph-") as folder:
        yield Path(folder) / "hub.sock"


async def polls(hub: Hub) -> None:
    """A publish answers a poll that waits, on a page's connection too."""
    channel = fresh()
    async with await hub.connect() as client:
        assert (await client.ask("GET", "/livez")).status == 200
        begun = await client.ask("GET", events_of(channel) + "?since=now")
        cursor = begun.json()["cursor"]
        client.send("GET", f"{events_of(channel)}?since={cursor}&wait=30")
        assert (await hub.ask("POST", events_of(channel), b"1")).status == 200
        answer = await client.receive(SECONDS)
        assert [event["data"] for event in answer.json()["events"]] == [1]


@pytest.mark.parametrize("mode", [None, "600", "666"])
async def test_it_serves_with_its_permissions_and_removes_its_file(
    path: Path, mode: str | None
) -> None:
    flags = [] if mode is None else ["--unix-socket-mode", mode]
    with serving(path, *flags) as hub:
        hub.started()
        assert is_socket(path, int(mode or "660", 8))
        await polls(hub)
        hub.process.send_signal(signal.SIGTERM)
        assert hub.ended() == 0
        assert not there(path)


async def test_the_socket_of_a_server_that_died_is_replaced(path: Path) -> None:
    with serving(path) as hub:
        hub.started()
        hub.process.kill()
        hub.ended()
    assert there(path)
    with serving(path) as hub:
        hub.started()
        await polls(hub)


async def test_a_second_server_is_refused_and_the_first_goes_on(path: Path) -> None:
    with serving(path) as first:
        first.started()
        with serving(path) as second:
            assert second.ended() != 0
            assert "another server listens there" in str(second.output)
        await polls(first)


async def test_of_servers_that_start_together_one_serves(path: Path) -> None:
    with serving(path) as dead:
        dead.started()
        dead.process.kill()
        dead.ended()
    with serving(path) as one, serving(path) as two:
        hubs = [one, two]
        done = await asyncio.to_thread(_first_to_end, hubs)
        (left,) = [hub for hub in hubs if hub is not done]
        left.started()
        await polls(left)


def _first_to_end(hubs: list[Hub]) -> Hub:
    refused = re.compile("another server listens there")
    for _ in range(int(SECONDS * 10)):
        for hub in hubs:
            try:
                hub.process.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
            hub.output.find(refused, SECONDS)
            return hub
    raise AssertionError("both serve")


def test_a_file_that_is_no_socket_is_left_alone(path: Path) -> None:
    path.write_text("precious")
    with serving(path) as hub:
        assert hub.ended() != 0
        assert "no socket" in str(hub.output)
    assert path.read_text() == "precious"


def test_a_folder_that_is_not_there_is_one_sentence(path: Path) -> None:
    with serving(path.parent / "missing" / "hub.sock") as hub:
        assert hub.ended() != 0
        (line,) = str(hub.output).splitlines()
        assert "No such file or directory" in line


async def test_a_foreign_file_at_the_path_is_not_removed(path: Path) -> None:
    with serving(path) as hub:
        hub.started()
        os.unlink(path)
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(path))
            hub.process.send_signal(signal.SIGTERM)
            hub.ended()
        assert there(path)


async def test_workers_share_the_socket_and_a_dead_one_is_replaced(
    path: Path, redis_shelf: Shelf
) -> None:
    ready = re.compile(r'"worker": \d, "pid": (\d+), "event": "worker.ready"')
    with serving(path, "--workers", "2", store=redis_shelf.url("valkey9")) as hub:
        hub.started()
        await polls(hub)
        pids = {int(hit[1]) for hit in ready.finditer(str(hub.output))}
        assert len(pids) == 2
        os.kill(min(pids), signal.SIGKILL)
        await polls(hub)
        hub.output.find(re.compile("worker.died"), SECONDS)
        async with asyncio.timeout(SECONDS):
            while len({hit[1] for hit in ready.finditer(str(hub.output))}) < 3:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await polls(hub)
        hub.process.send_signal(signal.SIGTERM)
        assert hub.ended() == 0
    assert not there(path)


async def test_a_client_counts_as_one_from_this_machine(path: Path) -> None:
    """So a reverse proxy on the socket is believed, as one on 127.0.0.1 is."""
    with serving(path, "--access-log") as hub:
        hub.started()
        await hub.ask("GET", events_of(fresh()))
        hub.output.find(re.compile(r'"client": "127\.0\.0\.1"'), SECONDS)
