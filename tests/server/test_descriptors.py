"""A process that has no file descriptor left: it says so, serves whom it has, and recovers."""

import asyncio
import os
import re
import resource

import pytest

from tests.serving import Server, serve
from tests.wire import Client

SECONDS = 20.0
EXHAUSTED = re.compile(r'"limit": \d+, .*"event": "descriptors.exhausted"')
AVAILABLE = re.compile(r'"event": "descriptors.available"')

pytestmark = pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs Linux")


def limit(server: Server, spare: int) -> None:
    """Leave a running server so many descriptors beyond those that it has."""
    pid = server.process.pid
    highest = max(map(int, os.listdir(f"/proc/{pid}/fd")))
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (highest + 1 + spare, hard))


async def test_exhausted_descriptors_are_logged_once_and_recover() -> None:
    with serve() as server:
        kept = await server.connect()
        assert (await kept.ask("GET", "/livez")).status == 200
        limit(server, 5)
        crowd = [await Client.connect(server.port) for _ in range(15)]
        await asyncio.to_thread(server.output.find, EXHAUSTED, SECONDS)
        # Whoever is connected is served, the metrics too, and the process does not spin.
        begun = cpu(server)
        for _ in range(3):
            answer = await kept.ask("GET", "/metrics")
            assert answer.status == 200
            assert b"process_max_fds" in answer.body
            assert b"process_open_fds" not in answer.body
            await asyncio.sleep(0.5)  # so long that a loop without a pause would show
        assert cpu(server) - begun < 1.0
        for client in crowd:
            client.close()
        await asyncio.to_thread(server.output.find, AVAILABLE, SECONDS)
        assert (await server.get("/livez")).status == 200
        counted = await server.metric("pushhub_descriptors_exhausted_total")
        assert 1 <= counted < SECONDS
        assert len(EXHAUSTED.findall(str(server.output))) == 1
        await kept.leave()
        # It is an error, which `check` would not have.
        server.output.lines[:] = [line for line in server.output.lines if "exhausted" not in line]


def cpu(server: Server) -> float:
    """The seconds that the process has computed."""
    with open(f"/proc/{server.process.pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
