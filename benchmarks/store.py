"""How many appends a store acknowledges per second. Run as `python benchmarks/store.py --help`."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pushhub.log.event import Draft
from pushhub.store.base import Append, Appended, Retention, append
from pushhub.store.urls import open_store_url

if TYPE_CHECKING:
    from pushhub.log.cursor import Cursor
    from pushhub.log.event import Event
    from pushhub.store.base import Store


class Nobody:
    """A listener that does nothing."""

    def wake(self, event: Event) -> None: ...

    def receipt(self, channel: str, cursor: Cursor | None) -> None: ...

    def forget(self, channel: str) -> None: ...

    def lost(self) -> None: ...

    def restored(self) -> None: ...


async def publish(
    store: Store, channels: int, data: bytes, retention: Retention, until: float, first: int
) -> list[float]:
    """Append one event after the other; how long each took, in seconds."""
    took = []
    number = first
    while (begun := time.perf_counter()) < until:
        draft = Draft(data)
        [outcome] = await append(store, Append(f"bench:{number % channels}", draft, retention))
        if not isinstance(outcome, Appended):
            raise SystemExit(f"refused: {outcome}")
        took.append(time.perf_counter() - begun)
        number += 1
    return took


async def spin(until: float) -> None:
    """Keep the event loop busy, as thousands of holds do."""
    while time.perf_counter() < until:
        sum(range(2000))
        await asyncio.sleep(0)


async def measure(url: str, args: argparse.Namespace) -> dict[str, Any]:
    store = open_store_url(url)
    await store.open(Nobody())
    retention = Retention(args.keep, namespace_bytes=args.limit)
    begun = time.perf_counter()
    until = begun + args.seconds
    tasks = [
        publish(
            store, args.channels, b'"' + b"x" * (args.bytes - 2) + b'"', retention, until, number
        )
        for number in range(args.outstanding)
    ]
    spinner = asyncio.create_task(spin(until if args.busy else 0))
    took = sorted(itertools.chain.from_iterable(await asyncio.gather(*tasks)))
    elapsed = time.perf_counter() - begun
    await spinner
    await store.close()
    return {
        "store": url.partition(":")[0],
        "appends_per_second": round(len(took) / elapsed),
        "p50_ms": round(took[len(took) // 2] * 1000, 2),
        "p99_ms": round(took[len(took) * 99 // 100] * 1000, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "stores", nargs="*", help="URLs of stores; by default memory and a new database"
    )
    parser.add_argument("--keep", type=int, default=1000, help="events that a channel keeps")
    parser.add_argument("--limit", type=int, help="bytes that all channels may keep together")
    parser.add_argument("--outstanding", type=int, default=64, help="appends under way at a time")
    parser.add_argument("--channels", type=int, default=64, help="over which they are spread")
    parser.add_argument("--bytes", type=int, default=100, help="of data in an event")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each store")
    parser.add_argument("--busy", action="store_true", help="keep the event loop busy beside it")
    parser.add_argument("--folder", help="where to put the database; a temporary one by default")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        database = f"sqlite:///{Path(folder).resolve()}/bench.db"
        for url in args.stores or ("memory://", database):
            result = asyncio.run(measure(url, args))
            if args.json:
                sys.stdout.write(json.dumps(result) + "\n")
            else:
                sys.stdout.write(
                    f"{result['store']:8} {result['appends_per_second']:8,} appends/s   "
                    f"p50 {result['p50_ms']} ms   p99 {result['p99_ms']} ms\n"
                )


if __name__ == "__main__":
    main()
