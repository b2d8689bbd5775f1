"""An origin that is silent, and a resource's channel whose delete fails."""

import asyncio

from pushhub.origin.sharing import CLEAR_SECONDS
from pushhub.testing.simulation.loop import SimulatedLoop
from pushhub.testing.simulation.plan import Plan
from pushhub.testing.simulation.registers import SINGLE
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


def test_a_channel_whose_delete_failed_is_deleted_after_its_next_use() -> None:
    """The log is away when a resource is forgotten, and the resource is there again when it is
    back: then the channel is deleted with the last resource that used it."""
    loop = SimulatedLoop()
    world = World(loop, Plan(1, 1, is_shared=True, has_xmpp=False, actors=(), phases=()))

    async def story() -> None:
        await world.start()
        node, client = world.nodes[0], world.client("node0", "10.0.0.1")
        view = world.view(node)
        assert view is not None
        assert node.app.origin is not None
        sharing = node.app.origin.sharing
        assert sharing is not None
        tag = (await client.ask("GET", "/poll/1", {"prefer": "wait=5"})).headers["etag"]
        loop.call_later(1, world.origin.change, "/poll/1")
        waiting = {"prefer": "wait=5", "if-none-match": tag}
        assert (await client.ask("GET", "/poll/1", waiting)).status == 200
        assert left() == 1
        view.fail()
        await asyncio.sleep(CLEAR_SECONDS)
        assert len(sharing) == 0
        view.recover()
        until = loop.time() + CLEAR_SECONDS
        while loop.time() <= until:
            await client.ask("GET", "/poll/1", {"prefer": "wait=5"})
            assert len(sharing) == 1
            await asyncio.sleep(5)
        await asyncio.sleep(2 * CLEAR_SECONDS)
        assert len(sharing) == left() == 0
        client.close()
        await node.stop()

    def left() -> int:
        return sum(
            name.startswith("$origin:") and name not in SINGLE for name in world.log.registers
        )

    try:
        loop.run_until_complete(story())
    finally:
        loop.close()
