"""Run as a process by tests: opens the SQLite store at argv[1], and appends until it is killed or
refused. It writes what became of each append, for who kills it to compare: `channel cursor data`,
or `refused channel data`."""

import asyncio
import itertools
import os
import sys

import structlog

from pushhub.log.event import Draft
from pushhub.store.base import Append, Appended, Retention, append
from pushhub.store.sqlite.store import SqliteStore
from tests.store.labs import Recorder

KEEP = Retention(events=1_000_000, age=None)
MOST_REFUSALS = 50

numbers = itertools.count()


async def publish(store: SqliteStore, channel: str) -> None:
    refusals = 0
    while refusals < MOST_REFUSALS:
        data = f"{os.getpid()}.{next(numbers)}"
        [outcome] = await append(store, Append(channel, Draft(data.encode()), KEEP))
        if isinstance(outcome, Appended):
            os.write(1, f"{channel} {outcome.cursor} {data}\n".encode())
        else:
            os.write(1, f"refused {channel} {data}\n".encode())
            os.write(2, f"{outcome}\n".encode())
            refusals += 1


async def main() -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    store = SqliteStore(sys.argv[1])
    await store.open(Recorder())
    os.write(1, b"ready\n")
    await asyncio.gather(*(publish(store, f"c{number % 4}") for number in range(16)))
    await store.close()


if __name__ == "__main__":
    asyncio.run(main())
