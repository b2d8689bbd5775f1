"""Figures for `pushhub capacity`, and its estimates beside a real hub on Valkey.

Run as `python -m benchmarks.capacity measure`, which prints figures for
`pushhub/capacity/figures.py`; as `compare`, which puts loads on a hub and compares; or as `page`,
which writes the tables of docs/capacity.md again. Everything is on loopback, and ends after a few
minutes.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.machine import machine
from benchmarks.servers.pushhub import Front
from pushhub.bench.dialect import TOKEN_MARK
from pushhub.bench.target import Load
from pushhub.capacity.model import Workload, estimate
from pushhub.capacity.page import in_page
from tests.redis_servers import KINDS, Rack, RedisServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pushhub.bench.target import Target

PAGE = Path(__file__).parent.parent / "docs" / "capacity.md"
# More than a busy machine needs to park all holds.
PARK_SECONDS = 60.0
CONNECTIONS = 16
# The deviation that `compare` accepts: of memory, and of CPU. CPU time of the same work differs by
# a factor of two between an idle machine and one whose two cores have other work, too.
MEMORY_TOLERANCE = 0.25
CPU_TOLERANCE = 1.0
# Holds, channels, publishes a second, bytes; for so many seconds.
SECONDS = 15.0
CASES = [
    Workload(holds=5000, channels=1, publishes=1.0, event_bytes=100),
    Workload(holds=5000, channels=50, publishes=20.0, event_bytes=100),
    Workload(holds=5000, channels=5000, publishes=200.0, event_bytes=1000),
    Workload(holds=10_000, channels=100, publishes=20.0, event_bytes=1000),
]


class OnValkey(Front):
    """A hub on a Valkey that runs already."""

    about = "on Valkey without persistence"

    def __init__(self, url: str) -> None:
        super().__init__("redis")
        self._url = url

    def environ(self) -> dict[str, str]:
        return super().environ() | {"PUSHHUB_STORE": self._url}


@dataclass
class Measured:
    """A hub before, during and after a load. Memory in KiB, times in seconds."""

    empty: float
    used: float
    cpu: float
    seconds: float
    published: int
    redis_bytes: float
    redis_cpu: float
    lost: int


@contextmanager
def hub() -> Iterator[tuple[OnValkey, RedisServer]]:
    rack = Rack()
    try:
        server = rack.start(KINDS["valkey9"])
        with OnValkey(server.url()) as running:
            yield running, server
    finally:
        rack.close()


def held(target: Target) -> int:
    """The number of requests that the hub holds, by its metrics."""
    connection = target.connect()
    try:
        found = re.search(rb"^pushhub_holds (\d+)", connection.request(target.metrics).body, re.M)
    finally:
        connection.close()
    assert found, "the metrics have no holds"
    return int(found[1])


def wait_for_holds(target: Target, number: int) -> None:
    end = time.monotonic() + PARK_SECONDS
    while held(target) < number:
        assert time.monotonic() < end, "the hub does not hold all polls"
        time.sleep(0.2)
    target.settle()


def redis_cpu(server: RedisServer) -> float:
    info = server.info("cpu")
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


def run(workload: Workload, seconds: float = SECONDS) -> Measured:
    """Put a load on a new hub."""
    with hub() as (running, server), ExitStack() as stack:
        target = running.target()
        held(target)  # the first request imports and caches
        empty = target.rss()
        load = Load(holds=workload.holds, size=workload.event_bytes, seconds=seconds)
        names = [f"capacity-{number}" for number in range(workload.channels)]
        count = min(CONNECTIONS, workload.channels)
        publishers = [stack.enter_context(target.publisher(load)) for _ in range(count)]
        pool = stack.enter_context(target.generators(load, token=TOKEN_MARK.decode()))
        pool.open(names, workload.holds // workload.channels, tokens=running.tokens(workload.holds))
        wait_for_holds(target, workload.holds)
        pool.count()
        before, worked = float(server.info("memory")["used_memory"]), redis_cpu(server)
        cpu, begun = target.cpu(), time.monotonic()

        def pace(number: int) -> None:
            own = names[number::count]
            for turn in range(int(workload.publishes * seconds) // count):
                due = begun + turn * count / workload.publishes
                time.sleep(max(0.0, due - time.monotonic()))
                publishers[number].publish(own[turn % len(own)])

        with ThreadPoolExecutor(count) as threads:
            list(threads.map(pace, range(count)))
        time.sleep(max(0.0, begun + seconds - time.monotonic()))
        wall = time.monotonic() - begun
        cpu, used = target.cpu() - cpu, target.rss()
        after, worked = float(server.info("memory")["used_memory"]), redis_cpu(server) - worked
        published = {c: n for one in publishers for c, n in one.published.items()}
        report = pool.report(published)
    total = sum(published.values())
    return Measured(empty, used, cpu, wall, total, after - before, worked, int(report.lost))


def fill(channels: int, events: int, size: int) -> float:
    """Bytes of Redis for channels with so many events each."""
    with hub() as (running, server), ExitStack() as stack:
        target = running.target()
        held(target)
        publisher = stack.enter_context(target.publisher(Load(size=size)))
        before = float(server.info("memory")["used_memory"])
        for _ in range(events):
            for number in range(channels):
                publisher.publish(f"capacity-{number}")
        return float(server.info("memory")["used_memory"]) - before


def measure() -> None:
    """Print the figures that no other benchmark has."""
    for name, text in machine().items():
        say(f"{name}: {text}")
    with hub() as (running, _):
        target = running.target()
        held(target)
        say(f"empty_mib {target.rss() / 1024:.1f}")
    first = fill(2000, 1, 100) / 2000
    small, large = fill(20, 200, 100) / 4000, fill(20, 200, 1000) / 4000
    say(f"redis_channel_bytes {first:.0f} (a channel with its first event)")
    say(f"redis_event_bytes {small - 100:.0f} for 100 bytes, {large - 1000:.0f} for 1,000")
    # One hold on each of 200 channels, and 100 events in each tail.
    busy = Workload(holds=200, channels=200, publishes=1000.0, event_bytes=100)
    measured = run(busy, 20.0)
    grown = (measured.used - measured.empty) * 1024 / measured.published
    say(f"tail_event_bytes {grown - 100:.0f}")
    say(f"redis_publish_us {measured.redis_cpu / measured.published * 1e6:.0f} at 1,000 a second")


def compare() -> int:
    """Print estimates beside measurements; 1 if one is outside the tolerance."""
    for name, text in machine().items():
        say(f"{name}: {text}")
    say(f"tolerance: memory {MEMORY_TOLERANCE:.0%}, CPU a factor of {1 + CPU_TOLERANCE:.0f}")
    say(
        "| holds | channels | publishes/s | bytes | MiB estimated | measured | "
        "cores estimated | measured | lost |"
    )
    say("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    wrong = 0
    for workload in CASES:
        # The tails and Redis are not full after a few seconds.
        events = math.ceil(workload.publishes * SECONDS / workload.channels)
        expected = estimate(replace(workload, retained=events, wait=55))
        found = run(workload)
        memory, cores = found.used / 1024, found.cpu / found.seconds
        say(
            f"| {workload.holds:,} | {workload.channels:,} | {workload.publishes:,.0f} | "
            f"{workload.event_bytes:,} | {expected.process_mib:.0f} | {memory:.0f} | "
            f"{expected.cores:.2f} | {cores:.2f} | {found.lost} |"
        )
        near = abs(expected.process_mib / memory - 1) <= MEMORY_TOLERANCE
        most = 1 + CPU_TOLERANCE
        wrong += not (near and 1 / most <= expected.cores / cores <= most)
    return min(1, wrong)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["measure", "compare", "page"])
    match parser.parse_args().what:
        case "measure":
            measure()
        case "compare":
            return compare()
        case "page":
            PAGE.write_text(in_page(PAGE.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
