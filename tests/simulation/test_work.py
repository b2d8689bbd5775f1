"""The bound on callbacks: what explains many of them, and what does not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from pushhub.log.event import Draft
from pushhub.store.base import Append
from pushhub.testing.simulation.loop import BusyLoop, SimulatedLoop
from pushhub.testing.simulation.plan import Plan
from pushhub.testing.simulation.work import HEARTBEATS
from pushhub.testing.simulation.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

MINUTE = 60.0
# More than two nodes at rest may schedule in a minute.
MANY = 20_000
NODES = 30


async def nothing(world: World) -> None:
    """A minute in which the nodes have nothing to do."""


async def requests(world: World) -> None:
    """A minute with requests."""
    world.requests += 10


async def deletes(world: World) -> None:
    """A minute in which the nodes delete what nodes that ended have left."""
    for number in range(NODES):
        await world.log.delete(f"{HEARTBEATS}n{number}")


@pytest.mark.parametrize(
    ("does", "is_busy"), [(nothing, True), (requests, False), (deletes, False)]
)
def test_callbacks_are_explained(
    does: Callable[[World], Coroutine[None, None, None]], is_busy: bool
) -> None:
    loop = SimulatedLoop()
    asyncio.set_event_loop(loop)
    world = World(loop, Plan(1, 2, True, True, (), ()))

    async def live() -> None:
        await world.start()
        for number in range(NODES):
            append = Append(f"{HEARTBEATS}n{number}", Draft(b"left"))
            world.log.append([append], lambda _: None)
        await asyncio.sleep(MINUTE)
        world.work.check()
        await asyncio.sleep(MINUTE)
        world.work.check()
        for node in world.nodes:
            node.process.callbacks += MANY // len(world.nodes)
        await does(world)
        await asyncio.sleep(MINUTE)
        world.work.check()

    try:
        if is_busy:
            with pytest.raises(BusyLoop, match="callbacks in"):
                loop.run_until_complete(live())
        else:
            loop.run_until_complete(live())
    finally:
        asyncio.set_event_loop(None)
        loop.close()


@pytest.mark.parametrize("has_xmpp", [False, True])
def test_nodes_at_rest_do_little(has_xmpp: bool) -> None:
    """One node that follows sixteen channels, or reads the heartbeats of nodes that have left, does
    more than this bound allows. A month has 2.6 million seconds."""
    loop = SimulatedLoop()
    asyncio.set_event_loop(loop)
    world = World(loop, Plan(1, 3, True, has_xmpp, (), ()))

    async def live() -> None:
        await world.start()
        for node in list(world.nodes):
            for _ in range(2):
                await world.nodes[world.nodes.index(node)].stop()
                node = await world.add_node(node.name)
        await asyncio.sleep(30.0)
        world.work.check()
        await asyncio.sleep(300.0)
        world.work.check_rest()
        for node in world.nodes:
            await node.stop()

    loop.run_until_complete(live())
    loop.close()
    assert [each.text for each in world.oracle.findings] == []
