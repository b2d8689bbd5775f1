"""SIGHUP takes new routes, in one process and in several, and disturbs no client."""

import asyncio
import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from pushhub.server.reload import Reload
from pushhub.settings import Route, Settings, SettingsError
from tests.origin.apis import Api
from tests.redis_servers import Shelf
from tests.server.test_workers import workers
from tests.serving import Output, Server, serve

SECONDS = 20.0


@asynccontextmanager
async def answering(name: str) -> AsyncIterator[str]:
    """An origin that responds with its name; `/slow` waits for an event of the test."""

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                while (await reader.readline()).strip():
                    pass
                if b"/slow" in line:
                    arrived.set()
                    await gate.wait()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(name))
                writer.write(name.encode())
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    gate, arrived = asyncio.Event(), asyncio.Event()
    server = await asyncio.start_server(serve_one, "127.0.0.1", 0)
    async with server:
        GATES[name] = gate, arrived
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        gate.set()


GATES: dict[str, tuple[asyncio.Event, asyncio.Event]] = {}


class File:
    """A file of settings whose routes are written anew."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: list[str] = []

    def write(self, *targets: str, extra: str = "") -> None:
        """A route for each target: `/0/*`, `/1/*` …"""
        routes = [
            f"[[routes]]\npath = '/{place}/*'\ntarget = '{url}'\nstep = 'pass'\n"
            for place, url in enumerate(targets)
        ]
        self.path.write_text("\n".join([extra, *routes]))


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path / "pushhub.toml")


@contextmanager
def started(file: File, store: str = "memory://", **settings: Any) -> Iterator[Server]:
    with serve("front", store, config=str(file.path), **settings) as server:
        yield server


async def hang_up(server: Server, says: str = "settings.reloaded", times: int = 1) -> None:
    """Send SIGHUP, and wait until `times` processes have logged `says`."""
    before = str(server.output).count(f'"{says}"')
    server.signal(signal.SIGHUP)
    async with asyncio.timeout(SECONDS):
        while str(server.output).count(f'"{says}"') < before + times:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def origin_of(server: Server, path: str) -> str:
    answer = await server.get(path)
    return answer.body.decode() if answer.status == 200 else answer.problem


# -- one process -----------------------------------------------------------------------------------


async def test_other_routes_hold_from_the_next_request_on(file: File) -> None:
    async with answering("a") as a, answering("b") as b:
        file.write(a)
        with started(file) as server:
            assert (await origin_of(server, "/0/x"), await origin_of(server, "/1/x")) == (
                "a",
                "no-route",
            )
            file.write(b, a)
            await hang_up(server)
            assert (await origin_of(server, "/0/x"), await origin_of(server, "/1/x")) == ("b", "a")
            file.write(b)
            await hang_up(server)
            assert await origin_of(server, "/1/x") == "no-route"


async def test_requests_in_progress_continue_after_a_reload(file: File) -> None:
    async with answering("a") as a, answering("b") as b:
        file.write(a)
        with started(file) as server:
            client = await server.connect()
            client.send("GET", "/0/slow")
            await GATES["a"][1].wait()
            held = await server.connect()
            held.send("GET", "/_pushhub/v1/channels/c/events?since=now&wait=50")
            file.write(b)
            await hang_up(server)
            assert await origin_of(server, "/0/x") == "b"
            GATES["a"][0].set()
            assert (await client.receive()).body == b"a"
            assert (await client.ask("GET", "/0/x")).body == b"b", "on the same connection"
            await server.post("/_pushhub/v1/channels/c/events", 7)
            assert (await held.receive()).json()["events"][0]["data"] == 7
            await client.leave()
            await held.leave()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[[routes", "is not TOML"),
        ("[[routes]]\npath = 'orders'", "A path starts with '/'"),
        ("[[routes]]\npath = '/orders'", "has no target"),
        ("nonsense = 1", "unknown setting 'nonsense'"),
        ("max_wait = 'x'", "max_wait must be a whole number"),
        (None, "cannot be read"),
    ],
)
async def test_a_bad_file_keeps_the_old_routes(file: File, text: str | None, sentence: str) -> None:
    async with answering("a") as a:
        file.write(a)
        with started(file) as server:
            if text is None:
                file.path.unlink()
            else:
                file.path.write_text(text)
            await hang_up(server, "settings.rejected")
            told = [line for line in server.output.lines if "settings.rejected" in line]
            assert sentence in json.loads(told[0])["error"]
            assert await origin_of(server, "/0/x") == "a"
            file.write(a, a)
            await hang_up(server)
            assert await origin_of(server, "/1/x") == "a", "and the next good one is taken"


async def test_another_setting_is_named_and_not_changed(file: File) -> None:
    async with answering("a") as a, answering("b") as b:
        file.write(a, extra="max_wait = 20")
        with started(file) as server:
            file.write(b, extra="max_wait = 30\ngrip_key = 'secret-word'\norigin = 'http://x:1'")
            await hang_up(server)
            told = [line for line in server.output.lines if "settings.need_restart" in line]
            assert [json.loads(line)["setting"].split()[0] for line in told] == [
                "origin",
                "grip_key",
                "max_wait",
            ]
            assert "secret-word" not in str(server.output)
            assert (await origin_of(server, "/0/x"), await origin_of(server, "/1/x")) == (
                "b",
                "no-route",
            )
            await server.post("/_pushhub/v1/channels/c/events", 7)
            held = await server.get(
                "/_pushhub/v1/channels/c/events?since=earliest", prefer="wait=55"
            )
            assert held.headers["preference-applied"] == "wait=20"


async def test_where_there_was_no_origin_routes_need_a_restart(file: File) -> None:
    file.path.write_text("")
    with started(file) as server:
        file.write("http://127.0.0.1:1")
        await hang_up(server, "settings.need_restart")
        assert "routes has changed, and needs a restart." in str(server.output)
        assert (await server.get("/livez")).status == 200


async def test_many_signals_are_no_trouble(file: File) -> None:
    async with answering("a") as a, answering("b") as b:
        file.write(a)
        with started(file) as server:
            for _ in range(50):
                server.signal(signal.SIGHUP)
            file.write(b)
            await hang_up(server)
            async with asyncio.timeout(SECONDS):
                while await origin_of(server, "/0/x") != "b":  # noqa: ASYNC110
                    await asyncio.sleep(0.01)


async def test_a_resource_with_waiting_requests_takes_its_new_route(file: File) -> None:
    route = "origin = '{}'\n[[routes]]\npath = '/orders'\nstep = 'poll'\nslowest = 600\n"
    wish = {"prefer": "wait=50", "if-none-match": '"1"'}
    async with Api.running() as api:
        api.set("/orders", "[1]", '"1"')
        file.path.write_text(route.format(api.url) + "interval = 600\n")
        with started(file) as server:
            first, second = await server.connect(), await server.connect()
            first.send("GET", "/orders", wish)
            await api.settled(1)
            file.path.write_text(route.format(api.url) + "interval = 0.05\n")
            await hang_up(server)
            second.send("GET", "/orders", wish)
            await api.reached(3)
            api.set("/orders", "[1, 2]", '"2"')
            for client in (first, second):
                assert (await client.receive()).body == b"[1, 2]"
                await client.leave()


# -- several ---------------------------------------------------------------------------------------


@pytest.fixture
def redis_url(redis_shelf: Shelf) -> str:
    return redis_shelf.url("valkey9")


async def all_workers(server: Server, path: str) -> set[str]:
    """The responses to 40 connections, which reach each worker except with a chance of 2**-39."""
    return set(await asyncio.gather(*(origin_of(server, path) for _ in range(40))))


async def test_all_workers_take_them_and_those_that_come_later(file: File, redis_url: str) -> None:
    async with answering("a") as a, answering("b") as b:
        file.write(a)
        with started(file, redis_url, workers=2) as server:
            assert await all_workers(server, "/0/x") == {"a"}
            file.write(b)
            await hang_up(server, times=2)
            assert await all_workers(server, "/0/x") == {"b"}
            file.path.write_text("[[routes")
            await hang_up(server, "settings.rejected")
            assert await all_workers(server, "/0/x") == {"b"}
            ready = re.compile(r'"pid": (\d+), "event": "worker.ready"')
            pids = [int(pid) for pid in ready.findall(str(server.output))]
            os.kill(pids[0], signal.SIGKILL)
            async with asyncio.timeout(SECONDS):
                while len(ready.findall(str(server.output))) < 3:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            assert await all_workers(server, "/0/x") == {"b"}


async def test_a_signal_to_all_processes_of_the_group_is_one(file: File, redis_url: str) -> None:
    async with answering("a") as a, answering("b") as b:
        file.write(a)
        with started(file, redis_url, workers=2) as server:
            file.write(b)
            for pid in workers(server).values():
                os.kill(pid, signal.SIGHUP)
            await hang_up(server, times=2)
            assert await all_workers(server, "/0/x") == {"b"}
            assert "worker.died" not in str(server.output)


# -- the terminal ----------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="makes a terminal")
@pytest.mark.parametrize("workers", [1, 2])
def test_the_end_of_the_terminal_is_the_end(workers: int, tmp_path: Path, redis_url: str) -> None:
    store = redis_url if workers > 1 else "memory://"
    file = tmp_path / "pushhub.toml"
    file.write_text("")
    environ = {name: text for name, text in os.environ.items() if not name.startswith("PUSHHUB_")}
    command = [sys.executable, "-m", "pushhub", "serve", "--dev", "--port", "0", "--store", store]
    ours, theirs = pty.openpty()
    script = "import os, sys, fcntl, signal, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    # A run under nohup would have it ignored, and its children too.
    script += "signal.signal(signal.SIGHUP, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-c", script, *command, "--workers", str(workers)],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=environ,
        start_new_session=True,
    )
    os.close(theirs)
    assert process.stdout
    assert process.stderr
    output = Output(process.stdout, process.stderr)
    output.find(re.compile("pushhub is at"), SECONDS)
    file.write_text("nonsense")
    # While the terminal is there the signal is no end, and the next one finds that.
    process.send_signal(signal.SIGHUP)
    output.find(re.compile("settings.rejected"), SECONDS)
    os.close(ours)
    try:
        assert process.wait(SECONDS) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        output.ended(SECONDS)


# -- what is read --------------------------------------------------------------------------------


def test_a_change_is_reported_until_the_restart() -> None:
    now = Settings(dev=True, max_wait=10, routes=[Route(target="http://a")])
    reload = Reload(Settings(dev=True, routes=[Route(target="http://b")]), lambda: now)
    for _ in range(2):
        settings, outcome = reload.run()
        assert settings is not None
        assert settings.routes == now.routes
        assert settings.max_wait == 55
        assert outcome.needs_restart == ("max_wait has changed, and needs a restart.",)


def test_a_route_that_relies_on_a_new_origin_waits_for_the_restart() -> None:
    now = Settings(dev=True, origin="http://a", routes=[Route(path="/x")])
    reload = Reload(Settings(dev=True, routes=[Route(target="http://b")]), lambda: now)
    settings, outcome = reload.run()
    assert settings is None
    assert outcome.error == "The new settings rely on origin, which needs a restart."


def test_unreadable_settings_raise_no_exception() -> None:
    def fail() -> Settings:
        raise SettingsError("It is bad.", "Very.")

    settings, outcome = Reload(Settings(origin="http://a"), fail).run()
    assert settings is None
    assert outcome.error == "It is bad. Very."
