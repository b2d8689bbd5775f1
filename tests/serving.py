"""A real server in a process of its own, and what tests ask of it."""

import asyncio
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import IO, Any

from tests import prepared
from tests.wire import Client, EventStream, Fields, Response

_UVICORN = [
    *("-m", "uvicorn", "--factory", "pushhub.app:create_app"),
    *("--port", "0", "--no-access-log", "--timeout-graceful-shutdown", "1"),
]

# How each driver is started, and the line that says where it listens.
DRIVERS = {
    "front": ["-m", "pushhub", "serve", "--port", "0"],
    "asgi": [*_UVICORN, "--http", "httptools"],
    # h11 has no bound on a head that it reads whole, and 16 KiB on one that comes in two reads. The
    # network decides which; a bound above every whole head of the tests leaves that to none.
    "h11": [*_UVICORN, "--http", "h11", "--h11-max-incomplete-event-size", "65536"],
}
_ADDRESS = re.compile(r"(?:pushhub is at|running on) http://127\.0\.0\.1:(\d+)")
# What is answered at once, on a machine that does much else. What is not waits for its end, which
# is some 20 s away at least.
SOON = 5.0
START_SECONDS = 60.0
_STOP_SECONDS = 15.0
# For how long a server may be about to hold what it should, or to let go: a bound that only a test
# that fails reaches, and far above what a busy machine needs.
HELD_SECONDS = 30.0
# How often a server is asked at least before it is said to hold what it should not: on a busy
# machine it may do little within a second.
_LEAST_ASKED = 100

_names = itertools.count()


def fresh(what: str = "t") -> str:
    """A channel name that no other test uses."""
    return f"{what}-{os.getpid()}-{next(_names)}"


def events_of(channel: str) -> str:
    return f"/v1/channels/{channel}/events"


def value_of(channel: str) -> str:
    return f"/v1/channels/{channel}"


class Output:
    """What a process writes, line by line, and a way to wait for a line."""

    def __init__(self, *streams: IO[str]) -> None:
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._open = len(streams)
        for stream in streams:
            threading.Thread(target=self._read, args=(stream,), daemon=True).start()

    def _read(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                with self._news:
                    self.lines.append(line)
                    self._news.notify_all()
        with self._news:
            self._open -= 1
            self._news.notify_all()

    def find(self, pattern: re.Pattern[str], seconds: float) -> re.Match[str]:
        """Wait for a line with the pattern."""

        def found() -> re.Match[str] | None:
            return next((hit for line in self.lines if (hit := pattern.search(line))), None)

        with self._news:
            self._news.wait_for(lambda: found() or not self._open, seconds)
            hit = found()
        assert hit, f"the server did not say {pattern.pattern!r}:\n{self}"
        return hit

    def ended(self, seconds: float) -> None:
        """Wait until the process has closed its output."""
        with self._news:
            assert self._news.wait_for(lambda: not self._open, seconds)

    def __str__(self) -> str:
        return "".join(self.lines)


class Server:
    """A server that runs."""

    def __init__(
        self, driver: str, process: subprocess.Popen[str], seconds: float = START_SECONDS
    ) -> None:
        assert process.stdout
        assert process.stderr
        self.driver = driver
        self.process = process
        self.output = Output(process.stdout, process.stderr)
        self.port = int(self.output.find(_ADDRESS, seconds)[1])

    # -- asking --------------------------------------------------------------

    async def connect(self) -> Client:
        return await Client.connect(self.port)

    async def ask(
        self, method: str, target: str, headers: Fields | None = None, body: bytes = b""
    ) -> Response:
        """One request on a connection of its own."""
        async with await self.connect() as client:
            return await client.ask(method, target, headers, body)

    async def get(self, target: str, **headers: str) -> Response:
        """GET; `if_none_match="…"` is the header `If-None-Match`."""
        return await self.ask("GET", target, _fields(headers))

    async def post(self, target: str, document: Any, **headers: str) -> Response:
        """POST of a JSON document."""
        fields = {"content-type": "application/json", **_fields(headers)}
        return await self.ask("POST", target, fields, json.dumps(document).encode())

    async def publish(self, channel: str, data: Any = None, **headers: str) -> dict[str, Any]:
        """Publish, and expect success: the receipt."""
        answer = await self.post(events_of(channel), data, **headers)
        assert answer.status == 200, answer
        receipt: dict[str, Any] = answer.json()
        return receipt

    async def log(self, channel: str) -> list[Any]:
        """The data of all events that the channel keeps."""
        answer = await self.get(events_of(channel) + "?since=earliest&limit=1000")
        assert answer.status == 200, answer
        return [event["data"] for event in answer.json()["events"]]

    # -- holding -------------------------------------------------------------

    async def metric(self, name: str) -> float:
        """A sample of /metrics, by its name and labels."""
        text = (await self.get("/metrics")).body.decode()
        return _sample(text, name)

    async def held(self, count: int, seconds: float = HELD_SECONDS, **headers: str) -> None:
        """Wait until exactly so many requests are parked."""
        async with await self.connect() as client:
            await until_held(client, count, seconds, headers=headers)

    @asynccontextmanager
    async def holding(
        self, method: str, target: str, body: bytes = b"", **headers: str
    ) -> AsyncIterator[asyncio.Task[Response]]:
        """A request that is parked; the task ends with its answer."""
        before = int(await self.metric("pushhub_holds"))
        client = await self.connect()
        client.send(method, target, _fields(headers), body)
        task = asyncio.create_task(client.receive(70))
        try:
            await self.held(before + 1)
            yield task
        finally:
            task.cancel()
            await client.leave()

    @asynccontextmanager
    async def streaming(
        self, target: str, *, method: str = "GET", body: bytes = b"", **headers: str
    ) -> AsyncIterator[EventStream]:
        """An event stream, opened."""
        client = await self.connect()
        try:
            client.send(method, target, {"accept": "text/event-stream", **_fields(headers)}, body)
            status, fields = await client.head()
            assert (status, fields["content-type"]) == (200, "text/event-stream; charset=utf-8")
            yield EventStream(client)
        finally:
            await client.leave()

    # -- ending --------------------------------------------------------------

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = _STOP_SECONDS) -> int:
        """The exit status."""
        status = self.process.wait(seconds)
        self.output.ended(seconds)
        return status

    async def left(self, seconds: float = _STOP_SECONDS) -> int:
        return await asyncio.to_thread(self.wait, seconds)

    def stop(self) -> None:
        """End it if it runs, and look at what it said."""
        if self.process.poll() is None:
            self.signal()
            try:
                self.wait()
            except subprocess.TimeoutExpired:
                self.process.kill()
                raise
        self.check()

    def check(self) -> None:
        """It made no mistakes that it knows of."""
        text = str(self.output)
        assert "Traceback" not in text, text
        assert '"level": "error"' not in text, text

    def __repr__(self) -> str:
        return f"<Server {self.driver} {self.process.pid}>"


@contextmanager
def serve(
    driver: str = "front", store: str | None = "memory://", *, dev: bool = True, **settings: Any
) -> Iterator[Server]:
    """A server for as long as the block runs. Settings are given by their names; those
    that are None are left out.
    """
    given = {"store": store, "dev": dev, "drain_seconds": 0, "log_format": "json", **settings}
    environ = {name: text for name, text in os.environ.items() if not name.startswith("PUSHHUB_")}
    for name, setting in given.items():
        if setting is None:
            continue
        text = setting if isinstance(setting, str) else json.dumps(setting)
        environ[f"PUSHHUB_{name.upper()}"] = text
    # An empty folder: there is no configuration file to be found.
    with tempfile.TemporaryDirectory(prefix="pushhub-") as folder:
        process = started(DRIVERS[driver], environ, folder, settings.get("workers", 1) > 1)
        try:
            server = Server(driver, process)
            yield server
            server.stop()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def started(
    command: list[str], environ: dict[str, str], folder: str, has_workers: bool
) -> subprocess.Popen[str]:
    """A new process. One with workers starts others as a user's does, from its own command."""
    flag, module, *arguments = command
    if flag == "-m" and not has_workers and not os.environ.get("PUSHHUB_TEST_NEW_PROCESSES"):
        process: subprocess.Popen[str] = prepared.start(module, arguments, environ, folder)
        return process
    return subprocess.Popen(
        [sys.executable, *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=environ,
    )


def _fields(headers: Fields) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


async def until_held(
    client: Client,
    count: int,
    seconds: float = HELD_SECONDS,
    metrics: str = "/metrics",
    headers: Fields | None = None,
) -> None:
    """Wait until the server of a connection holds exactly so many requests."""
    end = time.monotonic() + seconds
    for asked in itertools.count(1):
        answer = await client.ask("GET", metrics, headers)
        found = _sample(answer.body.decode(), "pushhub_holds")
        if found == count:
            return
        patient = time.monotonic() < end or asked < _LEAST_ASKED
        assert patient, f"{found} requests are held, not {count}"
        await asyncio.sleep(0.002)


def _sample(text: str, name: str) -> float:
    for line in text.splitlines():
        sample, _, number = line.rpartition(" ")
        if sample == name:
            return float(number)
    raise AssertionError(f"/metrics has no {name}")
