"""What it costs to stand in front of an origin: pushhub, Pushpin, and the origin alone, in turn.
Run as `python -m benchmarks.passage --help`.

The origin answers 200 bytes at once, from uvloop. One connection that asks one request after the
other gives the latency; fifty that do give the rate, and the CPU that all of a proxy's processes
spend on a request. Origin and client are the same for all, and share the machine with them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from typing import TYPE_CHECKING

import uvloop

from benchmarks.servers.pushhub import Front
from benchmarks.servers.pushpin import Pushpin
from benchmarks.servers.server import Absent, Server, free_port
from pushhub.bench.dialect import BROWSER, ORIGIN

if TYPE_CHECKING:
    from pushhub.bench.target import Figures

BODY = b"x" * 200
RESPONSE = (
    b"HTTP/1.1 200 OK\r\nServer: origin\r\nDate: Sun, 22 Nov 2026 19:26:22 GMT\r\n"
    b'Content-Type: application/json\r\nContent-Length: %d\r\nETag: "v1"\r\n\r\n%b'
) % (len(BODY), BODY)
REQUEST = (
    f"GET /orders/7?fields=all HTTP/1.1\r\nHost: api.example.com\r\n{BROWSER.format(origin=ORIGIN)}"
    'If-None-Match: "v0"\r\n\r\n'
).encode()

CONNECTIONS = 50


class Origin(asyncio.Protocol):
    """Answers every request with the same."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        *requests, self.buffer = (self.buffer + data).split(b"\r\n\r\n")
        self.transport.write(RESPONSE * len(requests))  # type: ignore[attr-defined]


class Client(asyncio.Protocol):
    """Asks again as soon as it is answered, until it is late."""

    def __init__(self, until: float, took: list[float]) -> None:
        self.until = until
        self.took = took
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        self.buffer = b""
        self.begun = time.perf_counter()
        self.transport.write(REQUEST)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if not self.buffer.endswith(BODY):
            return
        if not self.buffer.startswith(b"HTTP/1.1 200 "):
            self.over.set_exception(RuntimeError(self.buffer[:100].decode("latin-1")))
            return
        now = time.perf_counter()
        self.took.append(now - self.begun)
        if now < self.until:
            self.ask()
        elif not self.over.done():
            self.over.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.over.done():
            self.over.set_exception(RuntimeError("The connection was lost."))


class Alone(Server):
    """The origin, which every other one has behind it."""

    name = "origin"

    def __init__(self, origin_port: int = 0) -> None:
        super().__init__()
        if origin_port:
            self.port = origin_port

    def launch(self) -> None:
        self.spawn(
            *(sys.executable, "-m", "benchmarks.passage", "--origin", str(self.port)),
            PYTHONPATH=os.getcwd(),
        )


class Behind(Front):
    """`pushhub serve --origin`, with routes of one step."""

    def __init__(self, origin_port: int, step: str) -> None:
        super().__init__("memory")
        self.name = f"pushhub, {step}"
        self.origin = f"http://127.0.0.1:{origin_port}"
        self.step = step

    def environ(self) -> dict[str, str]:
        routes = json.dumps([{"path": "/*", "step": self.step}])
        return super().environ() | {"PUSHHUB_ORIGIN": self.origin, "PUSHHUB_ROUTES": routes}


class PushpinBehind(Pushpin):
    """Pushpin, whose route leads to the same origin."""

    def __init__(self, origin_port: int) -> None:
        super().__init__()
        self._behind = origin_port

    def launch(self) -> None:
        super().launch()
        # The origin of the other scenarios is not needed; the route leads to ours.
        (self.folder / "routes").write_text(f"* 127.0.0.1:{self._behind}\n")
        time.sleep(1)


async def load(port: int, connections: int, seconds: float) -> list[float]:
    """Ask for so long; how long each request took, in seconds."""
    took: list[float] = []
    loop = asyncio.get_running_loop()
    until = time.perf_counter() + seconds
    clients = []
    for _ in range(connections):
        _, client = await loop.create_connection(lambda: Client(until, took), "127.0.0.1", port)
        clients.append(client.over)
    await asyncio.gather(*clients)
    return took


def measure(server: Server, seconds: float) -> Figures:
    """One round with one server."""
    # Until everything is imported, connected and remembered.
    uvloop.run(load(server.port, CONNECTIONS, 0.5))
    alone = sorted(uvloop.run(load(server.port, 1, seconds)))
    before = server.processes().cpu()
    many = sorted(uvloop.run(load(server.port, CONNECTIONS, seconds)))
    spent = server.processes().cpu() - before
    return {
        "p50_ms": alone[len(alone) // 2] * 1000,
        "p99_ms": alone[len(alone) * 99 // 100] * 1000,
        "requests_per_s": len(many) / seconds,
        "cpu_us": spent / len(many) * 1e6,
    }


def compare(seconds: float, repeat: int) -> dict[str, list[Figures]]:
    """The servers in turn, each in front of the same origin."""
    results: dict[str, list[Figures]] = {}
    with Alone(free_port()) as origin:
        front = [
            Behind(origin.port, "pass"),
            Behind(origin.port, "grip"),
            PushpinBehind(origin.port),
        ]
        started: list[Server] = [origin]
        try:
            for server in front:
                try:
                    started.append(server.__enter__())
                except Absent as error:
                    sys.stderr.write(f"{error}\n")
            for _ in range(repeat):
                for server in started:
                    results.setdefault(server.name, []).append(measure(server, seconds))
        finally:
            for server in started[1:]:
                server.stop()
    return results


def table(results: dict[str, list[Figures]]) -> str:
    """The medians, and what each adds to the origin alone."""
    lines = [
        "| server | p50 ms | added ms | p99 ms | requests/s (50) | CPU µs/request |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    alone = statistics.median(run["p50_ms"] for run in results["origin"])
    for name, runs in results.items():
        median = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        lines.append(
            f"| {name} | {median['p50_ms']:.3f} | {median['p50_ms'] - alone:.3f} "
            f"| {median['p99_ms']:.2f} | {median['requests_per_s']:,.0f} | {median['cpu_us']:.0f} |"
        )
    return "\n".join(lines) + "\n"


async def answer(port: int) -> None:
    """Be the origin."""
    server = await asyncio.get_running_loop().create_server(Origin, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.passage", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each part of a round")
    parser.add_argument("--repeat", type=int, default=3, help="rounds, of which the median")
    parser.add_argument("--json", action="store_true", help="every round, as JSON")
    parser.add_argument("--origin", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.origin:
        try:
            uvloop.run(answer(options.origin))
        except KeyboardInterrupt:
            pass
        return
    results = compare(options.seconds, options.repeat)
    sys.stdout.write(json.dumps(results) + "\n" if options.json else table(results))


if __name__ == "__main__":
    main()
