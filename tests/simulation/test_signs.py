"""A node takes another for dead when it is silent, and for no other reason."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from pushhub.testing.simulation.loop import SimulatedLoop
from pushhub.testing.simulation.plan import Plan
from pushhub.testing.simulation.world import World
from pushhub.xmpp.nodes import DEAD_SECONDS, SIGN_SECONDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pushhub.testing.simulation.node import Node
    from pushhub.xmpp.nodes import Nodes

# Two signs of each node, and each moment between them.
MOMENTS = 44
MOMENT_SECONDS = 0.25


def live(script: Callable[[World], Awaitable[None]]) -> None:
    """Two nodes on a shared log, and what is done with them."""
    loop = SimulatedLoop()
    world = World(loop, Plan(7, 2, True, True, (), ()))

    async def run() -> None:
        await world.add_node("node0")
        # They sign at different moments.
        await asyncio.sleep(SIGN_SECONDS / 2)
        await world.add_node("node1")
        await asyncio.sleep(SIGN_SECONDS)
        await script(world)
        for node in world.nodes:
            if node.is_up:
                await node.stop()

    try:
        loop.run_until_complete(run())
    finally:
        loop.close()


def signs(node: Node) -> Nodes:
    """What a node knows of the others."""
    assert node.app.sessions is not None
    return node.app.sessions.server.nodes


async def is_alive(one: Node, node: str) -> bool:
    """Whether one node takes another for alive."""
    told: list[bool] = []

    async def ask() -> None:
        told.append(await signs(one).alive(node))

    await one.inside(ask())
    return told[0]


async def both_live(world: World, moments: int = MOMENTS) -> list[int]:
    """The moments at which one node took the other for dead."""
    first, second = world.nodes
    wrong = []
    for moment in range(moments):
        for one, other in ((first, second), (second, first)):
            if not await is_alive(one, signs(other).id):
                wrong.append(moment)
        await asyncio.sleep(MOMENT_SECONDS)
    return wrong


@pytest.mark.parametrize("seconds", [3600.0, 30.0, -30.0, -3600.0])
@pytest.mark.parametrize("phase", [1.0, 3.5])
def test_a_step_of_the_store_s_clock_kills_no_node(seconds: float, phase: float) -> None:
    async def script(world: World) -> None:
        await asyncio.sleep(phase)
        world.step_clock(seconds)
        assert await both_live(world) == []

    live(script)


@pytest.mark.parametrize("seconds", [0.0, 3600.0, -3600.0])
def test_a_silent_node_is_dead_in_time(seconds: float) -> None:
    async def script(world: World) -> None:
        first, second = world.nodes
        dead = signs(second).id
        second.crash()
        world.step_clock(seconds)
        begun = world.now()
        while await is_alive(first, dead):
            assert world.now() - begun < DEAD_SECONDS + SIGN_SECONDS + 1
            await asyncio.sleep(MOMENT_SECONDS)
        assert world.now() - begun > DEAD_SECONDS - SIGN_SECONDS

    live(script)


def test_a_store_that_was_away_for_all_kills_no_node() -> None:
    async def script(world: World) -> None:
        views = [world.view(node) for node in world.nodes]
        for view in views:
            assert view is not None
            view.fail()
        await asyncio.sleep(3 * DEAD_SECONDS)
        for view in views:
            assert view is not None
            view.recover()
        await asyncio.sleep(1)
        assert await both_live(world) == []

    live(script)
