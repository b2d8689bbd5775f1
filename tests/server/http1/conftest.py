"""One server for all raw requests, checked after every test."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving import Server, serve


@pytest.fixture(scope="session")
def _front() -> Iterator[Server]:
    with serve() as server:
        yield server


@pytest.fixture
def front(_front: Server) -> Iterator[Server]:
    """A running hub; after every test it serves, and has no hold, no connection and no error in its
    log.
    """
    yield _front
    unharmed(_front)


def unharmed(server: Server) -> None:
    """Check a server after an attack: it runs, and has no hold, connection or logged error."""
    assert server.process.poll() is None, f"the server died:\n{server.output}"
    asyncio.run(server.held(0))
    asyncio.run(_left_alone(server))
    server.check()


async def _left_alone(server: Server) -> None:
    """Wait until the server has no connection open."""
    for _ in range(1000):
        if not connections(server):
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{connections(server)} connections are left over")


def connections(server: Server) -> int:
    """How many connections the process has accepted and not closed."""
    inodes = set()
    for link in Path(f"/proc/{server.process.pid}/fd").iterdir():
        try:
            target = os.readlink(link)
        except FileNotFoundError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    count = 0
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{server.process.pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            port = int(fields[1].rpartition(":")[2], 16)
            # State 0A is listening.
            count += fields[9] in inodes and port == server.port and fields[3] != "0A"
    return count
