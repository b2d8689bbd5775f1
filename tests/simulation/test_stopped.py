"""A node that stops while it serves requests: the end of the process waits for them."""

import asyncio

from pushhub.testing.simulation.loop import SimulatedLoop
from pushhub.testing.simulation.plan import Plan
from pushhub.testing.simulation.world import API_KEY, World

PUBLISH = ("POST", "/_pushhub/v1/channels/news:1/events")


def test_a_publish_by_asgi_ends_before_its_node() -> None:
    """At whatever moment of the publish the node stops."""
    loop = SimulatedLoop()
    world = World(loop, Plan(1, 2, is_shared=True, has_xmpp=False, actors=(), phases=()))
    headers = {"authorization": f"Bearer {API_KEY}", "content-type": "application/json"}

    async def publish(late: float) -> None:
        client = world.client("node0", "10.0.0.1", asgi=True)
        await asyncio.sleep(late)
        try:
            await client.ask(*PUBLISH, headers, b'{"id":"one"}')
        except OSError:
            pass  # The node was faster.
        finally:
            client.close()

    async def story() -> None:
        await world.start()
        lasts = 0.0
        for step in range(-1, 60):
            (node,) = (node for node in world.nodes if node.name == "node0")
            begun = loop.time()
            publishing = asyncio.ensure_future(publish(lasts - 0.005 + step * 0.0001))
            await node.stop()
            lasts = loop.time() - begun
            world.check_stopped(node)
            await publishing
            await world.add_node("node0")
        for node in world.nodes:
            await node.stop()

    loop.run_until_complete(story())
    loop.close()
    assert world.oracle.findings == []
