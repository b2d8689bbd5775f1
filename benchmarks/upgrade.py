"""What an existing API is spared by pushhub in front of it: `python -m benchmarks.upgrade --help`.

`article`: clients that poll a resource which changes now and then, in four ways: plainly, plainly
through pushhub's memory, waiting on a shared poll, and waiting with notifications. How often is the
origin asked, and how old is news when it arrives?

`identical`: clients that all wait for the same; the origin changes once, or more often, each time
when all of them wait again. The clients take turns with pushhub on the machine, so beside what they
see stand what an answer and the request after it cost pushhub in CPU, and how long pushhub says
that it took from the change to the answer.

The origin and the clients live in this process, so that moments can be compared; pushhub is a
child.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import statistics
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.machine import machine
from pushhub.bench.processes import Processes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PATH = "/orders/7"
# The article's clients ask every 5 seconds; the changes are ours.
EVERY = 5.0
WAYS = ("plain", "memory", "poll", "notify")
ABOUT = {
    "plain": "every 5 s, without pushhub",
    "memory": "every 5 s, unchanged, through pushhub with max_age = 1",
    "poll": "Prefer: wait=25, shared poll every 1 s",
    "notify": "Prefer: wait=25, the origin notifies",
    "identical": "all wait; it changes when they do",
}
_FIGURES = {
    "origin_rps": "origin requests/s",
    "origin_requests": "origin requests",
    "p50_ms": "latency p50 ms",
    "p99_ms": "latency p99 ms",
    "max_ms": "latency max ms",
    "all_ms": "all answered after ms",
    "wake_ms": "in pushhub, mean ms",
    "cpu_us": "pushhub CPU µs/answer",
    "cpu_share": "pushhub CPU %",
    "answered": "answers with news",
    "missed": "not told",
}


class Origin(asyncio.Protocol):
    """One resource with an ETag, that says 304 to who has it, and counts who asks."""

    version = 0
    body = b'{"version":0}'
    asked = 0
    changed: list[float]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n") + 4) >= 4:
            head, self._buffer = self._buffer[:end], self._buffer[end:]
            Origin.asked += 1
            tag = b'"%d"' % Origin.version
            if tag in head:
                self._transport.write(b"HTTP/1.1 304 Not Modified\r\nETag: %b\r\n\r\n" % tag)
            else:
                self._transport.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nETag: %b\r\n"
                    b"Content-Length: %d\r\n\r\n%b" % (tag, len(Origin.body), Origin.body)
                )

    @classmethod
    def change(cls) -> None:
        """There is something new."""
        cls.version += 1
        cls.body = b'{"version":%d}' % cls.version
        cls.changed.append(time.monotonic())


_TAG = re.compile(rb'\r\netag: "(\d+)"', re.IGNORECASE)
_SAMPLE = re.compile(r"^([a-z_]+) ([0-9.e+-]+)$", re.MULTILINE)
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)


class Poller(asyncio.Protocol):
    """One client: polls again at once if it waited, else after a while."""

    def __init__(self, crowd: Crowd, first: float) -> None:
        self._crowd = crowd
        self._first = first
        self._buffer = b""
        self.seen = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        asyncio.get_running_loop().call_later(self._first, self.ask)

    def ask(self) -> None:
        """One poll."""
        if self._transport.is_closing():
            return
        has = b'If-None-Match: "%d"\r\n' % self.seen if self.seen >= 0 else b""
        self._transport.write(self._crowd.request + has + b"\r\n")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n") + 4
        if end < 4:
            return
        head = self._buffer[:end]
        length = _LENGTH.search(head)
        size = int(length[1]) if length and head[9:12] == b"200" else 0
        if len(self._buffer) < end + size:
            return
        self._buffer = self._buffer[end + size :]
        self._crowd.statuses[head[9:12].decode()] = (
            self._crowd.statuses.get(head[9:12].decode(), 0) + 1
        )
        if head[9:12] == b"200" and (tag := _TAG.search(head)):
            now, version = time.monotonic(), int(tag[1])
            # Whoever sees a later state is told of those between, too: it is one resource.
            for number in range(max(self.seen, 0) + 1, version + 1):
                if self.seen >= 0:
                    self._crowd.latencies.append(now - Origin.changed[number - 1])
            self.seen = version
        if self._crowd.waits and head[9:12] in (b"200", b"304"):
            self.ask()
        elif not self._crowd.over:
            asyncio.get_running_loop().call_later(EVERY, self.ask)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._crowd.over:
            self._crowd.cut += 1


@dataclass
class Crowd:
    """All clients, and what they have seen."""

    waits: bool
    host: str
    latencies: list[float] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)
    cut: int = 0
    over: bool = False
    pollers: list[Poller] = field(default_factory=list)

    @property
    def request(self) -> bytes:
        """What each sends, up to its condition."""
        wish = "Prefer: wait=25\r\n" if self.waits else ""
        return f"GET {PATH} HTTP/1.1\r\nHost: {self.host}\r\n{wish}".encode()

    async def come(self, port: int, count: int) -> None:
        """Connect; plain polls are spread over their interval, as people's are."""
        loop = asyncio.get_running_loop()
        for begin in range(0, count, 200):
            made = await asyncio.gather(
                *(
                    loop.create_connection(
                        lambda: Poller(self, 0 if self.waits else random.uniform(0, EVERY)),
                        "127.0.0.1",
                        port,
                    )
                    for _ in range(min(200, count - begin))
                )
            )
            self.pollers += [poller for _, poller in made]

    async def have(self, version: int, seconds: float) -> None:
        """Wait until all have seen a version, or the time is over."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if all(poller.seen >= version for poller in self.pollers):
                return
            await asyncio.sleep(0.01)


@asynccontextmanager
async def pushhub(origin: int, way: str) -> AsyncIterator[tuple[int, int, Processes]]:
    """A pushhub in front: its port, its control port, and its processes."""
    route: dict[str, Any] = {"path": "/orders/*", "step": "poll"}
    if way == "notify":
        route = {"path": "/orders/*", "step": "notify"}
    elif way == "memory":
        route["max_age"] = 1
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pushhub", "serve", "--dev", "--port", "0", "--store", "memory://"),
        *("--origin", f"http://127.0.0.1:{origin}", "--control", "127.0.0.1:0"),
        *("--routes", json.dumps([route]), "--drain-seconds", "0", "--log-level", "error"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    text = ""
    try:
        while "control is at" not in text:
            line = (await process.stdout.readline()).decode()
            if not line:
                raise SystemExit("upgrade: pushhub did not start")
            text += line
        ports = [int(found) for found in re.findall(r" is at http://127\.0\.0\.1:(\d+)", text)]
        yield ports[0], ports[1], Processes(process.pid)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def notify(control: int) -> None:
    """As the origin's one line does."""
    body = json.dumps({"resources": [PATH]}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", control)
    writer.write(
        b"POST /v1/notify HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    status = await reader.read()
    if b" 200 " not in status[:16] and b" 202 " not in status[:16]:
        raise SystemExit(f"upgrade: the notification was refused: {status!r}")
    writer.close()


async def article(way: str, clients: int, seconds: float, mean: float, seed: int) -> dict[str, Any]:
    """One way of polling, for so long."""
    server, port = await start_origin()
    async with server:
        if way == "plain":
            return await _changes(way, port, None, None, clients, seconds, mean, seed)
        async with pushhub(port, way) as (front, control, processes):
            return await _changes(way, front, control, processes, clients, seconds, mean, seed)


async def _changes(
    way: str,
    port: int,
    control: int | None,
    processes: Processes | None,
    clients: int,
    seconds: float,
    mean: float,
    seed: int,
) -> dict[str, Any]:
    crowd = Crowd(way in ("poll", "notify"), f"127.0.0.1:{port}")
    await crowd.come(port, clients)
    await crowd.have(0, 2 * EVERY + 5)
    chance = random.Random(seed)
    asked, begun = Origin.asked, time.monotonic()
    cpu = processes.cpu() if processes else 0.0
    end = begun + seconds
    while (pause := chance.expovariate(1 / mean)) and time.monotonic() + pause < end:
        await asyncio.sleep(pause)
        Origin.change()
        if way == "notify" and control is not None:
            await notify(control)
    await asyncio.sleep(max(0.0, end - time.monotonic()))
    passed = time.monotonic() - begun
    requests = Origin.asked - asked
    share = (processes.cpu() - cpu) / passed if processes else 0.0
    await crowd.have(Origin.version, 2 * EVERY)
    return _figures(crowd, clients * Origin.version) | {
        "changes": Origin.version,
        "origin_requests": requests,
        "origin_rps": requests / passed,
        "cpu_share": share,
    }


async def identical(clients: int, changes: int) -> dict[str, Any]:
    """All wait, and it changes so often."""
    server, port = await start_origin()
    async with server, pushhub(port, "notify") as (front, control, processes):
        crowd = Crowd(True, f"127.0.0.1:{front}")
        await crowd.come(front, clients)
        await crowd.have(0, 60)
        before = await _all_wait(control, clients)
        asked, cpu = Origin.asked, processes.cpu()
        spans = []
        for number in range(1, changes + 1):
            begun = time.monotonic()
            Origin.change()
            await notify(control)
            await crowd.have(number, 30)
            spans.append(time.monotonic() - begun)
            # Those who ask again have what was fetched; nobody asks the origin for them.
            after = await _all_wait(control, clients)
        spent = processes.cpu() - cpu
        wake = "pushhub_wake_latency_seconds"
        waited = after[f"{wake}_sum"] - before[f"{wake}_sum"]
        count = after[f"{wake}_count"] - before[f"{wake}_count"]
        return _figures(crowd, clients * changes) | {
            "origin_requests": Origin.asked - asked,
            "all_ms": 1000 * statistics.median(spans),
            "wake_ms": 1000 * waited / count,
            "cpu_us": 1e6 * spent / (clients * changes),
        }


async def _all_wait(control: int, clients: int) -> dict[str, float]:
    """Wait until all are held and the origin is left alone; what /metrics says then."""
    asked = -1
    while True:
        reader, writer = await asyncio.open_connection("127.0.0.1", control)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        text = (await reader.read()).decode()
        writer.close()
        metrics = {name: float(value) for name, value in _SAMPLE.findall(text)}
        if metrics["pushhub_holds"] == clients and asked == Origin.asked:
            return metrics
        asked = Origin.asked
        await asyncio.sleep(0.1)


async def start_origin() -> tuple[asyncio.Server, int]:
    """A new one, on a free port."""
    Origin.version, Origin.body, Origin.asked, Origin.changed = 0, b'{"version":0}', 0, []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Origin, "127.0.0.1", 0, backlog=4096)
    return server, server.sockets[0].getsockname()[1]


def _figures(crowd: Crowd, expected: int) -> dict[str, Any]:
    crowd.over = True
    for poller in crowd.pollers:
        poller._transport.abort()
    ordered = sorted(crowd.latencies)
    if crowd.cut or not set(crowd.statuses) <= {"200", "304"}:
        raise SystemExit(f"upgrade: {crowd.cut} were cut; statuses {crowd.statuses}")

    def at(share: float) -> float:
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    return {
        "p50_ms": 1000 * statistics.median(ordered) if ordered else 0,
        "p99_ms": at(0.99) if ordered else 0,
        "max_ms": at(1) if ordered else 0,
        "answered": len(ordered),
        "missed": expected - len(ordered),
    }


def show(title: str, rows: dict[str, dict[str, Any]]) -> None:
    """A table on the terminal."""
    table = Table(title=title)
    table.add_column("")
    for way in rows:
        table.add_column(way, justify="right")
    for name, said in _FIGURES.items():
        if any(name in row for row in rows.values()):
            scale = 100 if name == "cpu_share" else 1
            table.add_row(said, *(f"{scale * row[name]:,.4g}" for row in rows.values()))
    console = Console()
    console.print(table)
    for way in rows:
        console.print(f"{way:10} {ABOUT[way]}", highlight=False)


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("scenario", choices=["article", "identical"])
    parser.add_argument("--clients", type=int, help="1,000 for article, 5,000 for identical")
    parser.add_argument("--seconds", type=float, default=120, help="for each way of article")
    parser.add_argument("--mean", type=float, default=10, help="seconds between two changes")
    parser.add_argument("--ways", type=lambda text: text.split(","), default=list(WAYS))
    parser.add_argument("--changes", type=int, default=1, help="of identical")
    parser.add_argument("--seed", type=int, default=1, help="of the moments of the changes")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    rows: dict[str, dict[str, Any]] = {}
    if options.scenario == "identical":
        clients = options.clients or 5000
        rows["identical"] = uvloop.run(identical(clients, options.changes))
        show(f"{clients:,} identical clients, {options.changes} changes", rows)
    else:
        clients = options.clients or 1000
        for way in options.ways:
            rows[way] = uvloop.run(
                article(way, clients, options.seconds, options.mean, options.seed)
            )
        changes = next(iter(rows.values()))["changes"]
        show(f"{clients:,} clients, {changes} changes in {options.seconds:g} s", rows)
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
