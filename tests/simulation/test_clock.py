"""A wall clock that is set back: nodes go on as if nothing had happened."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from pushhub.testing.simulation.fetches import check_budget, check_pace
from pushhub.testing.simulation.loop import SimulatedLoop
from pushhub.testing.simulation.plan import Plan
from pushhub.testing.simulation.world import World


@pytest.mark.parametrize("step", [-1.0, -8.0, -15.0, -3600.0])
def test_a_resource_is_fetched_on_when_the_clock_is_set_back(step: float) -> None:
    """Turns are named after the wall clock: names of a time that comes again are taken."""
    loop = SimulatedLoop()
    world = World(loop, Plan(1, 1, is_shared=True, has_xmpp=False, actors=(), phases=()))

    async def story() -> None:
        await world.start()
        client = world.client("node0", "10.0.0.1")
        tag = (await client.ask("GET", "/poll/1", {"prefer": "wait=1"})).headers["etag"]
        wait = {"prefer": "wait=55", "if-none-match": tag}
        waiting = asyncio.ensure_future(client.ask("GET", "/poll/1", wait))
        await asyncio.sleep(20)
        world.clock_offset += step
        await asyncio.sleep(2)
        world.origin.change("/poll/1")
        begun = loop.time()
        response = await waiting
        assert response.status == 200
        assert response.json() == {"version": 2}
        assert loop.time() - begun < 2.5, "two intervals and the way"
        client.close()
        await world.nodes[0].stop()

    loop.run_until_complete(story())
    loop.close()


async def waits(world: World, node: str, path: str) -> None:
    """A client that waits on a resource again and again, without a pause."""
    client = world.client(node, "10.0.0.1")
    headers, resource = {"prefer": "wait=55"}, world.origin.resources[path]
    with contextlib.suppress(ConnectionError):
        while True:
            wait = [world.now(), float("inf")]
            resource.waits.append(wait)
            response = await client.ask("GET", path, headers)
            wait[1] = world.now()
            headers = {"prefer": "wait=55", "if-none-match": response.headers["etag"]}


@contextlib.asynccontextmanager
async def crowd(world: World) -> AsyncIterator[None]:
    """Clients that wait on two resources of every node."""
    paths = ["/poll/1", "/poll/2"]
    work = [
        asyncio.ensure_future(waits(world, n.name, path)) for n in world.nodes for path in paths
    ]
    try:
        yield
    finally:
        for task in work:
            task.cancel()
        await asyncio.wait(work)


def lived(nodes: int, story: Callable[[World], Coroutine[Any, Any, None]]) -> World:
    """A world with these nodes on a shared log, after a story."""
    loop = SimulatedLoop()
    world = World(loop, Plan(1, nodes, is_shared=True, has_xmpp=False, actors=(), phases=()))
    world.fetch_rate = 1.0

    async def told() -> None:
        await world.start()
        await story(world)
        for node in world.nodes:
            if node.is_up:
                await node.stop()

    loop.run_until_complete(told())
    loop.close()
    return world


@pytest.mark.parametrize("step", [-1.0, -30.0, -3600.0, 30.0, 3600.0])
def test_a_step_of_the_clock_costs_the_origin_nothing(step: float) -> None:
    """All nodes go on to agree on the one that fetches, and stay within the budget."""

    async def story(world: World) -> None:
        async with crowd(world):
            await asyncio.sleep(20)
            world.step_clock(step)
            await asyncio.sleep(120)

    world = lived(3, story)
    check_pace(world)
    check_budget(world)
    assert world.oracle.findings == []
    assert sum(len(r.fetches) for r in world.origin.resources.values()) > 100


def test_nodes_that_start_after_a_step_use_the_turns_of_the_others() -> None:
    """A node with an earlier clock would name turns that are taken, and never fetch."""

    async def story(world: World) -> None:
        async with crowd(world):
            await asyncio.sleep(150)
            world.step_clock(-120.0)
            await world.abandon(world.nodes[1])
            await world.add_node("node1")
            await asyncio.sleep(1)
        async with crowd(world):
            # The next heartbeats of the others.
            await asyncio.sleep(3)
            await world.abandon(world.nodes[0])
            # Until its demand no longer counts.
            await asyncio.sleep(15)
            seen = len(world.origin.resources["/poll/1"].fetches)
            await asyncio.sleep(20)
            assert len(world.origin.resources["/poll/1"].fetches) - seen >= 9

    assert lived(2, story).oracle.findings == []


@pytest.mark.parametrize(
    ("clock", "found"), [(1_800_000_020.0, ["outlived"]), (1_800_000_005.0, [])]
)
def test_an_event_of_before_a_step_back_outlives_no_token(clock: float, found: list[str]) -> None:
    """The token was made after the clock was set back, and still counts."""
    world = World(SimulatedLoop(), Plan(1, 1, False, False, (), ()))
    page = {"events": [{"offset": 1, "time": "2027-01-15T08:00:15Z"}]}
    world.oracle.delivered_by_token("token-0", page, 1_800_000_010.0, clock)
    assert [finding.kind for finding in world.oracle.findings] == found
    world.loop.close()
