"""A wall clock that is set back: nodes go on as if nothing had happened."""

import asyncio

import pytest

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
