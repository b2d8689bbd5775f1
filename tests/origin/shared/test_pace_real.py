"""The pace of shared fetches with a real hub: how late a change is told, and what it costs."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest

from tests.origin.apis import Api
from tests.origin.shared.front import Front
from tests.ports import free_port
from tests.serving import Server, serve

# The defaults of a route, and what the issue allows on top.
INTERVAL_SECONDS, MORE_SECONDS = 1.0, 0.3
# A machine that does much else.
BUSY_SECONDS = 1.0


@pytest.fixture(scope="module")
def hub() -> Iterator[tuple[Server, int]]:
    port = free_port()
    routes = [{"path": "/*", "step": "poll"}]
    with serve("front", origin=f"http://127.0.0.1:{port}", routes=routes) as server:
        yield server, port


@pytest.mark.parametrize("clients", [1, 50])
async def test_a_change_is_told_within_the_interval(hub: tuple[Server, int], clients: int) -> None:
    server, port = hub
    loop = asyncio.get_running_loop()
    async with Api.running(port) as api:
        front, target = Front(server, api), f"/clients-{clients}"
        begun = loop.time()
        for number, quiet in enumerate((1.0, 15.0)):
            tag = f'"{number}"'
            api.set(target, str(number), tag)
            async with AsyncExitStack() as stack:
                waiting = [
                    await stack.enter_async_context(front.waiting(target, tag))
                    for _ in range(clients)
                ]
                await front.parked(clients)
                await asyncio.sleep(quiet)
                api.set(target, str(number + 1), f'"{number + 1}"')
                changed = loop.time()
                responses = await asyncio.gather(*waiting)
                told = loop.time() - changed
            assert {response.body for response in responses} == {b"%d" % (number + 1)}
            assert told <= INTERVAL_SECONDS + MORE_SECONDS + BUSY_SECONDS
        # One fetch a second serves all, and each client may cause one when it comes.
        assert api.count() <= loop.time() - begun + 2 + 2 * 2


async def test_a_crowd_with_a_resource_each_stays_within_the_budget(
    hub: tuple[Server, int],
) -> None:
    """Thirty clients with a resource each would be 30 fetches a second; 10 are allowed."""
    server, port = hub
    loop = asyncio.get_running_loop()
    async with Api.running(port) as api:
        front = Front(server, api)
        async with AsyncExitStack() as stack:
            waiting = []
            for number in range(30):
                target = f"/crowd/{number}"
                api.set(target, "1", '"1"')
                waiting.append(await stack.enter_async_context(front.waiting(target, '"1"')))
            await front.parked(30)
            await asyncio.sleep(2)
            begun, before = loop.time(), api.count()
            await asyncio.sleep(8)
            fetches, passed = api.count() - before, loop.time() - begun
            assert fetches <= 10 * passed + 2
            text = (await server.get("/_pushhub/metrics")).body.decode()
            found = re.search(r"^pushhub_origin_stretched_seconds (\S+)$", text, re.MULTILINE)
            assert found is not None
            assert 3.0 <= float(found[1]) <= 3.3
            for number in range(30):
                api.set(f"/crowd/{number}", "2", '"2"')
            changed = loop.time()
            await asyncio.gather(*waiting)
            assert loop.time() - changed <= 3.4 + MORE_SECONDS + BUSY_SECONDS
