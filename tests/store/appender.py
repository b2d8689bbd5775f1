"""Run as a process by tests: opens the SQLite store at argv[1], appends without end, and writes the
cursor of each acknowledged append to its output, for who kills it to compare."""

import asyncio
import os
import sys

from pushhub.protocol.event import Draft
from pushhub.store.base import Append, Appended, Retention, append
from pushhub.store.sqlite import SqliteStore
from tests.store.conftest import Recorder

KEEP = Retention(events=1_000_000, age=None)


async def publish(store: SqliteStore, channel: str) -> None:
    while True:
        [outcome] = await append(store, Append(channel, Draft(b'"%d"' % os.getpid()), KEEP))
        assert isinstance(outcome, Appended), outcome
        os.write(1, f"{channel} {outcome.cursor}\n".encode())


async def main() -> None:
    store = SqliteStore(sys.argv[1])
    await store.open(Recorder())
    os.write(1, b"ready\n")
    await asyncio.gather(*(publish(store, f"c{number % 4}") for number in range(16)))


if __name__ == "__main__":
    asyncio.run(main())
