"""What limits cost a client that they do not stop, and what one abuser costs all others.

    python -m benchmarks.limits cost [--peer 203.0.113.1] [--polls 20000]
    python -m benchmarks.limits abuser [--seconds 5] [--heavy] [--limit address-bytes]

`cost` runs polls and deliveries in this process, through real connections on a transport that
discards: microseconds for a poll with its delivery, and bytes for a hold. `abuser` starts a hub,
and measures polls of honest clients beside one address that reaches each limit in turn.
With `--heavy` each honest request reads 100 KB.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import multiprocessing
import os
import socket
import statistics
import subprocess
import sys
import time
import tracemalloc
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import uvicorn
from uvicorn.server import ServerState

from pushhub.app import App
from pushhub.log.event import Draft
from pushhub.server.http1.factory import ConnectionFactory
from pushhub.settings import Settings
from pushhub.store.base import Append

if TYPE_CHECKING:
    from collections.abc import Iterator

HOLDS = 1000
# Windows without and beside an abuser, in turns: the machine has other work, too.
TURNS = 7
ABUSES_A_SECOND = 2000


class Discarding(asyncio.Transport):
    """A transport that discards what is written, of a client at an address."""

    def __init__(self, peer: str) -> None:
        super().__init__()
        self._peer = peer

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return (self._peer, 1) if name == "peername" else default

    def write(self, data: Any) -> None: ...
    def writelines(self, pieces: Any) -> None: ...
    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...
    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False

    def is_reading(self) -> bool:
        return True

    def close(self) -> None: ...


async def cost(peer: str, polls: int) -> tuple[float, float]:
    """Microseconds for a poll with its delivery, and bytes for a hold."""
    app = App(Settings(store="memory://", public=True, api_keys=[], trusted_proxies=("127.0.0.1",)))
    await app.open()
    hub = app.service.hub
    factory = ConnectionFactory(app)
    config, state = uvicorn.Config(app), ServerState()
    connections = []
    for _ in range(HOLDS):
        connection = factory(config, state, {})
        connection.connection_made(Discarding(peer))
        connections.append(connection)

    async def publish() -> str:
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        hub.publish([Append("c", Draft(b"1"))], done.set_result)
        return str((await done)[0].position)

    def request(cursor: str) -> bytes:
        head = f"GET /v1/channels/c/events?since={cursor} HTTP/1.1"
        return f"{head}\r\nHost: localhost\r\nPrefer: wait=55\r\n\r\n".encode()

    cursor = await publish()

    async def parked(count: int) -> None:
        while hub.parked != count:  # noqa: ASYNC110
            await asyncio.sleep(0)

    seconds, rounds = 0.0, max(1, polls // HOLDS)
    for turn in range(rounds + 3):
        data = request(cursor)
        begin = time.process_time()
        for connection in connections:
            connection.data_received(data)
        await parked(HOLDS)
        cursor = await publish()
        await parked(0)
        if turn >= 3:
            seconds += time.process_time() - begin
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    data = request(cursor)
    for connection in connections:
        connection.data_received(data)
    await parked(HOLDS)
    weight = (tracemalloc.get_traced_memory()[0] - before) / HOLDS
    tracemalloc.stop()
    await app.close()
    return 1e6 * seconds / rounds / HOLDS, weight


# Limit → the settings that let one address reach it, the request that does so, and the requests a
# second that the limit allows.
ABUSES: dict[str, tuple[dict[str, Any], str, float]] = {
    "address-requests": ({"rate": 1000, "burst": 1000}, "GET /v1/channels/x/events", 1000),
    "address-publishes": ({"rate": 1000, "burst": 1000}, "POST /v1/channels/x/events", 1000),
    "address-bytes": ({"rate": 100_000, "burst": 100_000}, "POST /v1/channels/x/events", 200),
    "address-creations": ({"rate": 10, "burst": 10}, "POST /v1/channels/{n}/events", 10),
    "address-holds": ({"most": 10}, "WAIT /v1/channels/x/events", 0),
    "address-channels": ({"most": 10}, "WAIT /v1/channels/x/events", 0),
}
# The events that a heavy honest request reads, and their bytes.
HEAVY_EVENTS, HEAVY_BYTES = 100, 1000


class Peer:
    """A blocking connection of a client at a forged address."""

    def __init__(self, port: int, address: str) -> None:
        self._sock = socket.create_connection(("127.0.0.1", port))
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._head = f" HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: {address}\r\n"

    def send(self, line: str, body: bytes = b"", more: str = "") -> None:
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        self._sock.sendall(f"{line}{self._head}{length}{more}\r\n".encode() + body)

    def receive(self) -> int:
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._more()
        head, _, rest = data.partition(b"\r\n\r\n")
        fields = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:])
        left = int(fields.get(b"content-length", b"0")) - len(rest)
        while left > 0:
            left -= len(self._more())
        return int(head[9:12])

    def _more(self) -> bytes:
        piece = self._sock.recv(65536)
        if not piece:
            raise ConnectionError
        return piece


class Hub(NamedTuple):
    """A hub that runs."""

    port: int
    pid: int

    def window(self, seconds: float) -> tuple[float, float]:
        """The p99 of honest requests in milliseconds, and the part of a core that the hub used."""
        begin, used = time.monotonic(), self._seconds()
        times = honest(self.port, seconds)
        core = (self._seconds() - used) / (time.monotonic() - begin)
        return 1000 * statistics.quantiles(times, n=100)[98], core

    def _seconds(self) -> float:
        """The processor time of the hub so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Other:
    """A process beside the honest clients, at one address: an abuser, or a client at its limit."""

    def __init__(self, port: int, address: str, request: str, rate: float) -> None:
        self._stopped = multiprocessing.Event()
        self._sent, self._refused = multiprocessing.Value("q", 0), multiprocessing.Value("q", 0)
        arguments = (port, address, request, rate, self._stopped, self._sent, self._refused)
        self._process = multiprocessing.Process(target=abuse, args=arguments)
        self._process.start()

    def await_limit(self) -> None:
        """Wait until the burst is spent: it is allowed, and no abuse."""
        while self._refused.value < 20 and self._process.is_alive():
            time.sleep(0.01)

    def stop(self) -> tuple[int, int]:
        """End it; returns the refused requests and all."""
        self._stopped.set()
        self._process.join(60)
        return self._refused.value, self._sent.value


def abuse(
    port: int, address: str, request: str, rate: float, stopped: Any, sent: Any, refused: Any
) -> None:
    """Send `rate` requests a second, unless the responses come later. (A client that sends as fast
    as it can would measure how a machine with two cores shares them among three programs.)
    """
    os.nice(10)
    method, path = request.split(" ")
    held = [Peer(port, address) for _ in range(20)] if method == "WAIT" else []
    for peer in held:
        peer.send(f"GET {path}?since=now", more="Prefer: wait=55\r\n")
    peer, due = Peer(port, address), time.monotonic()
    while not stopped.is_set():
        sent.value += 1
        line = path.replace("{n}", str(sent.value))
        try:
            if method == "WAIT":
                peer.send(f"GET {line}?since=now", more="Prefer: wait=55\r\n")
            else:
                body = b'"' + b"x" * 500 + b'"' if method == "POST" else b""
                peer.send(f"{method} {line}", body)
            refused.value += peer.receive() == 429
        except ConnectionError:
            peer = Peer(port, address)
        due += 1 / rate
        time.sleep(max(0.0, due - time.monotonic()))


def honest(port: int, seconds: float) -> list[float]:
    """The times of honest requests, 200 a second, by clients at their own addresses."""
    peers = [Peer(port, f"198.51.100.{number}") for number in range(1, 21)]
    times, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        for peer in peers:
            begin = time.perf_counter()
            peer.send(f"GET /v1/channels/honest/events?limit={HEAVY_EVENTS}")
            assert peer.receive() == 200
            times.append(time.perf_counter() - begin)
            time.sleep(0.005)
    return times


def abuser(seconds: float, only: str, *, heavy: bool) -> None:
    """The p99 of honest clients alone, beside a client at its limit, and beside an abuser."""
    titles = "".join(f"{title:^18}" for title in ("alone", "at the limit", "abuser"))
    print(f"{'p99, part of a core':18}{titles}   more   refused")
    for number, (name, (own, request, allowed)) in enumerate(ABUSES.items()):
        if only and only != name:
            continue
        with _hub({name: own}) as hub:
            if heavy:
                peer = Peer(hub.port, "192.0.2.1")
                for _ in range(HEAVY_EVENTS):
                    peer.send("POST /v1/channels/honest/events", b"x" * HEAVY_BYTES)
                    assert peer.receive() == 200
            honest(hub.port, 1.0)
            _row(hub, number, name, request, allowed, seconds)


@contextmanager
def _hub(limits: dict[str, Any]) -> Iterator[Hub]:
    """A hub with one limit of our own. The next limit gets a new hub, or it would be
    measured together with the others.
    """
    settings = [f"--limits={json.dumps(limits)}", '--trusted-proxies=["127.0.0.1"]']
    command = [sys.executable, "-m", "pushhub", "serve", "--dev", "--port=0", "--store=memory://"]
    command += [*settings, "--log-level=error"]
    with (
        TemporaryDirectory() as folder,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=folder
        ) as process,
    ):
        try:
            assert process.stdout
            port = int(process.stdout.readline().split("127.0.0.1:")[1].split()[0])
            yield Hub(port, process.pid)
        finally:
            process.terminate()


def _row(hub: Hub, number: int, name: str, request: str, allowed: float, seconds: float) -> None:
    """Print the medians of windows in turns, and what was refused."""
    window = seconds / TURNS
    alone, within, beside, shares = [], [], [], [0, 0]
    for turn in range(TURNS):
        alone.append(hub.window(window))
        if allowed:
            other = Other(hub.port, f"203.0.113.{10 * number + turn}", request, allowed)
            within.append(hub.window(window))
            other.stop()
        address = f"203.0.113.{100 + 10 * number + turn}"
        other = Other(hub.port, address, request, ABUSES_A_SECOND)
        other.await_limit()
        beside.append(hub.window(window))
        for index, count in enumerate(other.stop()):
            shares[index] += count
    # The machine differs from minute to minute: a window is compared with the one before.
    more = statistics.median(
        one[0] / other[0] - 1 for one, other in zip(beside, alone, strict=True)
    )
    columns = "".join(map(_column, (alone, within, beside)))
    print(f"{name:18}{columns}{more:+7.0%}   {shares[0]} of {shares[1]}", flush=True)


def _column(windows: list[tuple[float, float]]) -> str:
    if not windows:
        return f"{'-':^18}"
    p99, core = (statistics.median(column) for column in zip(*windows, strict=True))
    return f"{p99:7.2f} ms {core:5.1%}  "


def main() -> None:
    """Run one measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["cost", "abuser"])
    parser.add_argument("--peer", default="127.0.0.1")
    parser.add_argument("--polls", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--heavy", action="store_true")
    parser.add_argument("--limit", default="", choices=["", *ABUSES])
    options = parser.parse_args()
    if options.what == "abuser":
        abuser(options.seconds, options.limit, heavy=options.heavy)
    else:
        micros, weight = asyncio.run(cost(options.peer, options.polls))
        print(f"{micros:.2f} µs for a poll with its delivery, {weight:.0f} bytes for a hold")


if __name__ == "__main__":
    main()
