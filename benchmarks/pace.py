"""Requests at the origin, and latency, over the number of clients: `python -m benchmarks.pace`.

Clients wait through pushhub with the defaults of a route with `step = "poll"`: all on one resource
(`shared`), or each on a resource of its own (`private`). The resources change together now and
then. The plots show the requests a second that the origin receives, and the time from a change to
the client. Origin and clients live in this process, so that moments can be compared; pushhub is a
child.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import uvloop

from benchmarks.machine import machine
from benchmarks.upgrade import pushhub

if TYPE_CHECKING:
    from collections.abc import Sequence

COUNTS = (1, 50, 500, 2000)
KINDS = ("shared", "private")
# What the clients did before they waited.
POLLED_SECONDS = 5.0
# After the start until the pace is steady, and between two changes: no multiple of an interval.
SETTLE_SECONDS, CHANGE_SECONDS = 12.0, 7.3

_TAG = re.compile(rb"\r\netag: \"(\d+)\"", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)


class Scene:
    """The version of all resources, the requests at the origin, and the latencies."""

    def __init__(self) -> None:
        self.version = 1
        self.changed = 0.0
        self.requests = 0
        self.latencies: list[float] = []


class Origin(asyncio.Protocol):
    """Resources with an ETag."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n") + 4) >= 4:
            head, self._buffer = self._buffer[:end], self._buffer[end:]
            self._scene.requests += 1
            tag = b'"%d"' % self._scene.version
            if tag in head:
                self._transport.write(b"HTTP/1.1 304 Not Modified\r\nETag: %b\r\n\r\n" % tag)
            else:
                self._transport.write(
                    b"HTTP/1.1 200 OK\r\nETag: %b\r\nContent-Length: 2\r\n\r\n{}" % tag
                )


class Client(asyncio.Protocol):
    """A client that waits again and again."""

    def __init__(self, scene: Scene, path: str) -> None:
        self._scene, self._path = scene, path
        self._buffer = b""
        self.version = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._ask()

    def _ask(self) -> None:
        if not self.transport.is_closing():
            tag = f'If-None-Match: "{self.version}"\r\n' if self.version else ""
            head = f"GET {self._path} HTTP/1.1\r\nHost: localhost\r\nPrefer: wait=25\r\n"
            self.transport.write(f"{head}{tag}\r\n".encode())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n") + 4
        if end < 4:
            return
        head = self._buffer[:end]
        status, length = head[9:12], _LENGTH.search(head)
        size = int(length[1]) if length and status == b"200" else 0
        if len(self._buffer) < end + size:
            return
        self._buffer = b""
        if status == b"200" and (tag := _TAG.search(head)):
            if self.version:
                self._scene.latencies.append(time.monotonic() - self._scene.changed)
            self.version = int(tag[1])
        elif status != b"304":
            raise SystemExit(f"pace: the response was {head!r}")
        self._ask()


class Figures(NamedTuple):
    """The result of one run."""

    requests: float
    """At the origin, a second."""
    median: float
    p99: float
    """Seconds from a change to the client."""
    told: int
    missed: int


async def measure(kind: str, count: int, changes: int, settle: float, between: float) -> Figures:
    """One run: wait until the pace is steady, then change all resources again and again."""
    scene, loop = Scene(), asyncio.get_running_loop()
    server = await loop.create_server(lambda: Origin(scene), "127.0.0.1", 0, backlog=4096)
    port = server.sockets[0].getsockname()[1]
    async with server, pushhub(port, "poll") as (front, _, _):
        clients: list[Client] = []
        for number in range(count):
            path = f"/orders/{number if kind == 'private' else 0}"
            _, client = await loop.create_connection(
                lambda path=path: Client(scene, path),  # type: ignore[misc]
                "127.0.0.1",
                front,
            )
            clients.append(client)
        await asyncio.sleep(settle)
        scene.latencies.clear()
        begun, before = time.monotonic(), scene.requests
        for _ in range(changes):
            scene.version, scene.changed = scene.version + 1, time.monotonic()
            await asyncio.sleep(between)
        requests = (scene.requests - before) / (time.monotonic() - begun)
        for client in clients:
            client.transport.abort()
    times = sorted(scene.latencies) or [math.nan]
    p99 = times[min(len(times) - 1, int(0.99 * len(times)))]
    told = len(scene.latencies)
    return Figures(requests, times[len(times) // 2], p99, told, count * changes - told)


# Plots

_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT, _BOTTOM = 640, 340, 64, 40, 20, 64
_COLOURS = ("#0072b2", "#d55e00", "#777777")

Line = tuple[str, list[tuple[float, float]]]


def plot(title: str, unit: str, lines: Sequence[Line], low: float, high: float) -> str:
    """An SVG with logarithmic axes: the number of clients, and a figure from `low` to `high`."""

    def x(value: float) -> float:
        share = math.log(value / COUNTS[0]) / math.log(COUNTS[-1] / COUNTS[0])
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        share = math.log(max(value, low) / low) / math.log(high / low)
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'font-family="sans-serif" font-size="13"><title>{title}</title>',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="22" font-size="15">{title}</text>',
    ]
    tick = low
    while tick <= high * 1.001:
        parts.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" '
            f'stroke="#ddd"/><text x="{_LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">'
            f"{tick:g} {unit}</text>"
        )
        tick *= 10 if high / low > 50 else 2
    parts += [
        f'<text x="{x(count):.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">'
        f"{count:,}</text>"
        for count in COUNTS
    ]
    for number, (name, points) in enumerate(lines):
        colour = _COLOURS[number % len(_COLOURS)]
        path = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in points)
        dashes = ' stroke-dasharray="5 4"' if number == len(_COLOURS) - 1 else ""
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}"{dashes}/>')
        parts += [
            f'<circle cx="{x(at):.1f}" cy="{y(value):.1f}" r="3.5" fill="{colour}"/>'
            for at, value in points
        ]
        left = _LEFT + number * 180
        parts.append(f'<text x="{left}" y="{_HEIGHT - 14}" fill="{colour}">● {name}</text>')
    return "\n".join([*parts, "</svg>", ""])


def draw(rows: dict[str, dict[str, Any]], folder: Path) -> None:
    """Write both plots."""

    def line(kind: str, name: str) -> list[tuple[float, float]]:
        return [(count, rows[f"{kind} {count}"][name]) for count in COUNTS]

    polled = [(float(count), count / POLLED_SECONDS) for count in COUNTS]
    requests: list[Line] = [
        ("one shared resource", line("shared", "requests")),
        ("a resource each", line("private", "requests")),
        ("polled every 5 s (computed)", polled),
    ]
    latency: list[Line] = [
        ("one shared resource, p99", line("shared", "p99")),
        ("a resource each, p99", line("private", "p99")),
        ("polled every 5 s (computed)", [(count, 0.99 * POLLED_SECONDS) for count in COUNTS]),
    ]
    title = "over the number of waiting clients, with the defaults"
    (folder / "pace-requests.svg").write_text(
        plot(f"Requests a second at the origin, {title}", "/s", requests, 0.1, 1000)
    )
    (folder / "pace-latency.svg").write_text(
        plot(f"From a change to the client, {title}", "s", latency, 0.5, 8)
    )


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--changes", type=int, default=5)
    parser.add_argument("--settle", type=float, default=SETTLE_SECONDS, help="seconds before")
    parser.add_argument("--between", type=float, default=CHANGE_SECONDS, help="two changes")
    parser.add_argument("--only", help="one run, such as private-2000; --json keeps the others")
    parser.add_argument("--json", type=Path, help="write the figures there, or read them")
    parser.add_argument("--svg", type=Path, help="the folder for the plots")
    parser.add_argument("--plot-only", action="store_true", help="plot the figures of --json")
    options = parser.parse_args()
    rows: dict[str, dict[str, Any]] = {}
    if options.plot_only or options.only:
        rows = json.loads(options.json.read_text())["rows"]
    if not options.plot_only:
        for kind in KINDS:
            for count in COUNTS:
                if options.only not in (None, f"{kind}-{count}"):
                    continue
                run = measure(kind, count, options.changes, options.settle, options.between)
                figures = uvloop.run(run)
                rows[f"{kind} {count}"] = figures._asdict()
                print(f"{kind:8} {count:5} {figures}", flush=True)
        if options.json:
            text = json.dumps({"machine": machine(), "rows": rows}, indent=1)
            options.json.write_text(text + "\n")
    if options.svg:
        draw(rows, options.svg)


if __name__ == "__main__":
    main()
