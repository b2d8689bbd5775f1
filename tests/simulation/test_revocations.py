"""Processes learn of revocations by one channel, whatever happens to their feed and their log."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from pushhub.auth.revocation import SHARDS, Revocation, RevocationKind
from pushhub.testing.simulation.loop import SimulatedLoop, bury
from pushhub.testing.simulation.plan import Plan
from pushhub.testing.simulation.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from pushhub.api.revocation_register import RevocationRegister
    from pushhub.testing.simulation.log import View
    from pushhub.testing.simulation.node import Node

# Within this time every node has an entry, if its feed is connected.
SECONDS = 1.0
HOUR = 3600.0


def register_of(node: Node) -> RevocationRegister:
    register = node.app.service.revocations
    assert register is not None
    return register


def view_of(world: World, node: Node) -> View:
    view = world.view(node)
    assert view is not None
    return view


async def revoke(world: World, *names: str) -> None:
    """Revoke tokens on the first node."""
    for name in names:
        await register_of(world.nodes[0]).add(Revocation(RevocationKind.TOKEN, name, 0.0, None))


async def a_healthy_feed(world: World) -> None:
    await revoke(world, "a", "b")


async def a_feed_away(world: World) -> None:
    """The other node reads what it has missed."""
    view = view_of(world, world.nodes[1])
    view.lose_feed()
    await revoke(world, "a", "b")
    await asyncio.sleep(HOUR)
    view.restore_feed()


async def a_log_away(world: World) -> None:
    """The values cannot be read when the other node receives the change, for an hour."""
    register, view = register_of(world.nodes[1]), view_of(world, world.nodes[1])
    view._failures += 1  # The feed stays: it brings the changes.
    await revoke(world, "a", "b")
    await asyncio.sleep(HOUR)
    assert len(register) == 0, "nothing can be read yet"
    view._failures -= 1
    await asyncio.sleep(10.0)


async def many_at_once(world: World) -> None:
    """The other node reads each value a few times, not once for each entry."""
    view, reads = view_of(world, world.nodes[1]), 0
    real = view.read

    async def read(*args: object) -> object:
        nonlocal reads
        reads += 1
        await asyncio.sleep(0.5)
        return await real(*args)  # type: ignore[arg-type]

    view.read = read  # type: ignore[method-assign, assignment]
    await revoke(world, "a", "b", *(f"token{number}" for number in range(100)))
    await asyncio.sleep(4 * SHARDS * 0.5)
    assert 0 < reads <= 3 * SHARDS


@pytest.mark.parametrize("happens", [a_healthy_feed, a_feed_away, a_log_away, many_at_once])
def test_every_node_learns_of_a_revocation(
    happens: Callable[[World], Coroutine[None, None, None]],
) -> None:
    loop = SimulatedLoop()
    asyncio.set_event_loop(loop)
    world = World(loop, Plan(1, 2, True, False, (), ()))

    async def live() -> None:
        await world.start()
        known = register_of(world.nodes[1]).revocations.credential(token_id="b")
        assert not known.revoked
        await happens(world)
        await asyncio.sleep(SECONDS)
        assert known.revoked
        await world.add_node("node2")
        assert register_of(world.nodes[2]).revocations.credential(token_id="a").revoked
        for node in world.nodes:
            await node.stop()

    try:
        loop.run_until_complete(live())
    finally:
        bury(loop)
        asyncio.set_event_loop(None)
        loop.close()
