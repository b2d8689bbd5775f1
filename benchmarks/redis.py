"""What the Redis store does per second: appends, reads, and messages of its feed.

Run as `python -m benchmarks.redis`; see `--help`. Each server that the tests know is started for it
on loopback, or name one with `--url`; its database 0 must be free.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import redis
import uvloop

from pushhub.log.cursor import Cursor
from pushhub.log.event import Draft
from pushhub.store.base import Append, Appended, Outcome
from pushhub.store.redis.frame import pack, topics
from pushhub.store.redis.store import RedisStore
from tests.redis_servers import KINDS, Rack

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pushhub.log.event import Event

# Publishes messages without a client's CPU time. KEYS: topics. ARGV: how many, the first offset,
# what comes before an offset, what comes after it.
FLOOD = """
for i = 1, ARGV[1] do
  local offset = string.format('%.0f', ARGV[2] + i)
  redis.call('PUBLISH', KEYS[1 + i % #KEYS], ARGV[3] .. offset .. ARGV[4])
end
"""
FLOOD_BATCH = 10_000


class Counter:
    """A listener that counts."""

    def __init__(self) -> None:
        self.woken = 0
        self.wanted = 0
        self.arrived = asyncio.Event()

    def wake(self, event: Event) -> None:
        self.woken += 1
        if self.woken == self.wanted:
            self.arrived.set()

    def receipt(self, channel: str, cursor: Cursor | None) -> None: ...

    def forget(self, channel: str) -> None: ...

    def lost(self) -> None: ...

    def restored(self) -> None: ...


class Meter:
    """Seconds of the clock, and of this process' CPU."""

    def __init__(self) -> None:
        self._begun = time.perf_counter(), time.process_time()

    def rates(self, count: int) -> dict[str, float]:
        wall, cpu = time.perf_counter() - self._begun[0], time.process_time() - self._begun[1]
        return {"per_second": round(count / wall), "cpu_us": round(cpu / count * 1e6, 1)}


async def appends(
    store: RedisStore, outstanding: int, args: argparse.Namespace
) -> dict[str, float]:
    """So many appends are always under way; each one's answer sends the next."""
    data = b'"' + b"x" * (args.bytes - 2) + b'"'
    names = [f"bench:{number}" for number in range(args.channels)]
    finished = asyncio.get_running_loop().create_future()
    took: list[float] = []
    meter = Meter()
    until = time.perf_counter() + args.seconds
    under_way = 0

    def send() -> None:
        nonlocal under_way
        under_way += 1
        begun = time.perf_counter()

        def done(outcomes: list[Outcome]) -> None:
            nonlocal under_way
            under_way -= 1
            if not isinstance(outcomes[0], Appended):
                raise SystemExit(f"refused: {outcomes[0]}")
            now = time.perf_counter()
            took.append(now - begun)
            if now < until:
                send()
            elif not under_way:
                finished.set_result(None)

        store.append([Append(names[len(took) % len(names)], Draft(data))], done)

    for _ in range(outstanding):
        send()
    await finished
    rates = meter.rates(len(took))
    took.sort()
    rates["p50_ms"] = round(took[len(took) // 2] * 1000, 2)
    rates["p99_ms"] = round(took[len(took) * 99 // 100] * 1000, 2)
    return rates


async def repeated(
    what: Callable[[int], Awaitable[object]], outstanding: int, seconds: float
) -> dict[str, float]:
    """So many coroutines, each asking again and again."""
    meter = Meter()
    until = time.perf_counter() + seconds
    count = 0

    async def run(number: int) -> None:
        nonlocal count
        while time.perf_counter() < until:
            await what(number)
            count += 1

    await asyncio.gather(*(run(number) for number in range(outstanding)))
    return meter.rates(count)


async def reads(store: RedisStore, outstanding: int, args: argparse.Namespace) -> dict[str, float]:
    """Reads of the newest event, by its cursor."""
    infos = await store.channels("bench:", "", args.channels)
    before = [(i.channel, Cursor(i.latest.epoch, i.latest.offset - 1)) for i in infos]

    async def read(number: int) -> None:
        await store.read(*before[number % len(before)], 100)

    return await repeated(read, outstanding, args.seconds)


async def feed(
    store: RedisStore, listener: Counter, url: str, args: argparse.Namespace
) -> dict[str, float]:
    """Messages that the server publishes as fast as it can."""
    names = [f"feed:{number}" for number in range(args.channels)]
    await asyncio.gather(*(store.tail(name, 1) for name in names))
    frame = pack(Draft(b'"' + b"x" * (args.bytes - 2) + b'"'))
    keys = [topics(0) + name.encode() for name in names]
    client: redis.asyncio.Redis = redis.asyncio.Redis.from_url(url)
    flood = client.register_script(FLOOD)
    until = time.perf_counter() + args.seconds
    meter = Meter()
    while time.perf_counter() < until:
        listener.wanted = listener.woken + FLOOD_BATCH
        listener.arrived.clear()
        before = f"{store.epoch} ".encode()
        after = b" 1800000000000 " + frame
        await flood(keys, [FLOOD_BATCH, listener.woken, before, after])
        await listener.arrived.wait()
    rates = meter.rates(listener.woken)
    await client.aclose()
    return rates


async def measure(url: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    listener = Counter()
    store = RedisStore(url)
    await store.open(listener)
    results: list[dict[str, Any]] = [
        {"what": "appends", "outstanding": outstanding, **await appends(store, outstanding, args)}
        for outstanding in args.outstanding
    ]
    for outstanding in args.outstanding:
        rates = await reads(store, outstanding, args)
        results.append({"what": "reads", "outstanding": outstanding, **rates})
    results.append({"what": "feed", **await feed(store, listener, url, args)})
    await store.close()
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--outstanding", type=int, nargs="+", default=[64, 512])
    parser.add_argument("--channels", type=int, default=64, help="over which they are spread")
    parser.add_argument("--bytes", type=int, default=100, help="of data in an event")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each figure")
    parser.add_argument("--server", choices=KINDS, nargs="+", default=["valkey9", "redis7"])
    parser.add_argument("--url", help="a server that runs, instead of those")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    args = parser.parse_args()
    with ExitStack() as stack:
        rack = Rack()
        stack.callback(rack.close)
        for name in ["given"] if args.url else args.server:
            url = args.url or rack.start(KINDS[name]).url()
            for result in uvloop.run(measure(url, args)):
                if args.json:
                    sys.stdout.write(json.dumps({"server": name, **result}) + "\n")
                else:
                    sys.stdout.write(_line(name, result) + "\n")


def _line(server: str, result: dict[str, Any]) -> str:
    latency = (
        f"   p50 {result['p50_ms']} ms   p99 {result['p99_ms']} ms" if "p50_ms" in result else ""
    )
    return (
        f"{server:8} {result['what']:8} {result.get('outstanding', ''):>4} "
        f"{result['per_second']:9,}/s   {result['cpu_us']:6} µs CPU{latency}"
    )


if __name__ == "__main__":
    main()
