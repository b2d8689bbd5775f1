"""An origin that is silent, and the registers of its resources."""

import asyncio
from collections.abc import Callable, Coroutine

from pushhub.origin.shared.resource_channel import AGE_SECONDS
from pushhub.testing.simulation.loop import SimulatedLoop
from pushhub.testing.simulation.plan import Plan
from pushhub.testing.simulation.registers import SINGLE
from pushhub.testing.simulation.world import World


def live(
    story: Callable[[World], Coroutine[None, None, None]], *, nodes: int, is_shared: bool
) -> None:
    """Run a story on virtual time, in a world without actors."""
    loop = SimulatedLoop()
    plan = Plan(1, nodes, is_shared=is_shared, has_xmpp=False, actors=(), phases=())
    try:
        loop.run_until_complete(story(World(loop, plan)))
    finally:
        loop.close()


def test_a_silent_origin_gets_a_request_once() -> None:
    async def story(world: World) -> None:
        await world.start()
        client = world.client("node0", "10.0.0.1")
        assert (await client.ask("GET", "/poll/1")).status == 200
        world.origin.status = 0
        begun = world.now()
        response = await client.ask("GET", "/poll/1", patience=300)
        assert response.status == 504
        assert world.now() - begun < 1.2 * world.settings().origin_seconds
        assert world.origin.requests == 2
        client.close()
        await world.nodes[0].stop()

    live(story, nodes=1, is_shared=False)


def test_what_a_killed_node_published_does_not_stay() -> None:
    async def story(world: World) -> None:
        await world.start()
        await changed(world, "node0")
        assert [name for name in world.log.registers if name not in SINGLE]
        world.nodes[0].crash()
        await asyncio.sleep(2 * AGE_SECONDS)
        assert [name for name in world.log.registers if name not in SINGLE] == []
        await world.nodes[1].stop()

    live(story, nodes=2, is_shared=True)


def test_a_node_that_forgets_a_resource_ends_no_wait_on_another() -> None:
    async def story(world: World) -> None:
        await world.start()
        tag = await changed(world, "node0")
        far = world.client("node1", "10.0.0.2")
        begun = world.now()
        response = await far.ask("GET", "/poll/1", {"prefer": "wait=55", "if-none-match": tag})
        assert response.status == 304
        assert world.now() - begun >= 0.8 * 55 - 0.1
        far.close()
        for node in world.nodes:
            await node.stop()

    live(story, nodes=2, is_shared=True)


def test_a_wait_goes_on_when_another_node_deletes_the_channel() -> None:
    """As a node of an older version does, or one which found that the resource cannot be shared: it
    costs one look, and the client gets the next change."""

    async def story(world: World) -> None:
        await world.start()
        tag = await changed(world, "node0")
        (name,) = (name for name in world.log.registers if name not in (*SINGLE, "$origin:pace"))
        far, resource = world.client("node1", "10.0.0.2"), world.origin.resources["/poll/1"]
        headers = {"prefer": "wait=55", "if-none-match": tag}
        waiting = asyncio.ensure_future(far.ask("GET", "/poll/1", headers))
        await asyncio.sleep(1.5)
        view = world.view(world.nodes[0])
        assert view is not None
        fetches = len(resource.fetches)
        await view.delete(name)
        await asyncio.sleep(0.5)
        assert not waiting.done(), await waiting
        assert len(resource.fetches) == fetches + 1
        world.origin.change("/poll/1")
        assert (await waiting).json() == {"version": 3}
        far.close()
        for node in world.nodes:
            await node.stop()

    live(story, nodes=2, is_shared=True)


def test_a_change_after_its_register_has_aged_takes_one_fetch() -> None:
    async def story(world: World) -> None:
        await world.start()
        tag = await changed(world, "node0")
        client = world.client("node0", "10.0.0.1")
        wait = {"prefer": "wait=25", "if-none-match": tag}
        begun = world.now()
        while world.now() < begun + AGE_SECONDS + 60:
            assert (await client.ask("GET", "/poll/1", wait)).status == 304
        waiting = asyncio.ensure_future(client.ask("GET", "/poll/1", wait))
        await asyncio.sleep(5)
        world.origin.change("/poll/1")
        at = world.now()
        assert (await waiting).json() == {"version": 3}
        await asyncio.sleep(0.5)
        fetches = [when for when in world.origin.resources["/poll/1"].fetches if when >= at]
        assert len(fetches) == 1
        client.close()
        await world.nodes[0].stop()

    live(story, nodes=1, is_shared=True)


async def changed(world: World, node: str) -> str:
    """Wait on a node for a change, and leave. Its ETag."""
    client = world.client(node, "10.0.0.1")
    tag = (await client.ask("GET", "/poll/1", {"prefer": "wait=1"})).headers["etag"]
    wait = {"prefer": "wait=25", "if-none-match": tag}
    waiting = asyncio.ensure_future(client.ask("GET", "/poll/1", wait))
    await asyncio.sleep(2)
    world.origin.change("/poll/1")
    response = await waiting
    assert response.json() == {"version": 2}
    client.close()
    return response.headers["etag"]
