"""Pollers that know nothing of pushhub, unmodified: they get each change when it happens, and the
origin has next to nothing to do for them.

Versions are pinned in pollers/package-lock.json and in the lock of pushhub's own packages.
"""

import asyncio
import json
import re
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests import outside
from tests.origin.apis import Api
from tests.serving import Server, serve

POLLERS = Path(__file__).parent / "pollers"
SECONDS = 30.0
# When a wait of 25 s ends, a fifth earlier at most, who was told of no change asks anew.
UNTOLD = 20.0
# Longer than a test lasts: who polls at this pace sees one change, not five.
NEVER = "3600"
ROUTE = {"path": "/orders", "step": "poll", "interval": 0.05, "slowest": 0.1}


def change(api: Api, number: int) -> None:
    api.set("/orders", json.dumps({"number": number}), f'"{number}"')


class Poller:
    """A poller in a process of its own, which prints what is new."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def next(self) -> object:
        """The next thing that it shows."""
        assert self._process.stdout
        line = await asyncio.wait_for(self._process.stdout.readline(), SECONDS)
        assert line, f"it ended: {await self.said()}"
        return json.loads(line)

    async def said(self) -> str:
        """Everything that it complained of, when it has ended."""
        assert self._process.stderr
        return (await self._process.stderr.read()).decode()


@asynccontextmanager
async def polling(*command: str) -> AsyncIterator[Poller]:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    poller = Poller(process)
    try:
        yield poller
    finally:
        if process.returncode is None:
            process.kill()
        complaints = await poller.said()
        await process.wait()
    assert not complaints


@asynccontextmanager
async def front(api: Api) -> AsyncIterator[Server]:
    with serve("front", origin=f"http://127.0.0.1:{api.port}", routes=[ROUTE]) as server:
        yield server


async def holds(server: Server) -> int:
    metrics = (await server.get("/_pushhub/metrics")).body.decode()
    found = re.search(r"^pushhub_holds (\d+)", metrics, re.MULTILINE)
    assert found
    return int(found[1])


async def held(server: Server) -> None:
    """Until the poller waits."""
    async with asyncio.timeout(SECONDS):
        while await holds(server) != 1:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def sees_each_change(server: Server, api: Api, poller: Poller) -> None:
    assert await poller.next() == {"number": 0}
    for number in range(1, 6):
        await held(server)
        change(api, number)
        begun = time.monotonic()
        assert await poller.next() == {"number": number}
        assert time.monotonic() - begun < UNTOLD


@pytest.mark.parametrize("poller", ["requests", "pollymer", "restful_react"])
async def test_an_unmodified_poller_sees_each_change(poller: str) -> None:
    async with Api.running() as api:
        change(api, 0)
        async with front(api) as server:
            url = f"http://127.0.0.1:{server.port}/orders"
            if poller == "requests":
                command = [sys.executable, str(POLLERS / "with_requests.py"), url, NEVER, "--wait"]
            else:
                outside.require("pollers")
                node = outside.require("node")
                # restful-react pauses between two polls; its own 1,000 ms would make a test long.
                command = [node, str(POLLERS / f"with_{poller}.cjs"), url, "20"]
            async with polling(*command) as client:
                await sees_each_change(server, api, client)


async def test_a_poller_that_did_not_opt_in_is_answered_as_ever() -> None:
    async with Api.running() as api:
        change(api, 0)
        async with front(api) as server:
            url = f"http://127.0.0.1:{server.port}/orders"
            command = [sys.executable, str(POLLERS / "with_requests.py"), url, "0.05"]
            async with polling(*command) as client:
                for number in range(5):
                    change(api, number)
                    assert await client.next() == {"number": number}
            assert await holds(server) == 0
