"""An origin that is silent: its time is waited out once."""

from pushhub.testing.simulation.loop import SimulatedLoop
from pushhub.testing.simulation.plan import Plan
from pushhub.testing.simulation.world import World


def test_a_silent_origin_gets_a_request_once() -> None:
    loop = SimulatedLoop()
    world = World(loop, Plan(1, 1, is_shared=False, has_xmpp=False, actors=(), phases=()))

    async def story() -> None:
        await world.start()
        client = world.client("node0", "10.0.0.1")
        assert (await client.ask("GET", "/poll/1")).status == 200
        world.origin.status = 0
        begun = loop.time()
        response = await client.ask("GET", "/poll/1", patience=300)
        assert response.status == 504
        assert loop.time() - begun < 1.2 * world.settings().origin_seconds
        assert world.origin.requests == 2
        client.close()
        await world.nodes[0].stop()

    try:
        loop.run_until_complete(story())
    finally:
        loop.close()
