"""Connections in memory end as those of a kernel do."""

from __future__ import annotations

import asyncio

from pushhub.testing.simulation.loop import SimulatedLoop
from pushhub.testing.simulation.node import PORT
from pushhub.testing.simulation.plan import Plan
from pushhub.testing.simulation.world import World


def test_a_killed_node_has_no_connection_though_its_client_reads_nothing() -> None:
    """Else a slow reader's check waits for a deadline of a process that is gone."""
    loop = SimulatedLoop()
    world = World(loop, Plan(1, 1, True, False, (), ()))

    async def live() -> None:
        await world.start()
        end, _ = await world.network.connect(asyncio.Protocol, "node0", PORT)
        end.pause_reading()
        world.nodes[0].crash()
        await asyncio.sleep(1)
        assert end.peer.lost
        assert not end.lost
        end.resume_reading()
        await asyncio.sleep(1)
        assert end.lost, "it was reset"

    try:
        loop.run_until_complete(live())
    finally:
        loop.close()
