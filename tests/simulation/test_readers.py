"""Clients that take nothing of what is written to them, on virtual time."""

from __future__ import annotations

import asyncio

import pytest

from pushhub.testing.simulation.loop import SimulatedLoop
from pushhub.testing.simulation.node import PORT
from pushhub.testing.simulation.plan import Plan
from pushhub.testing.simulation.world import API_KEY, World

# Two of them fit into the buffers between two programs, and the third does not.
EVENT_BYTES = 60 * 1024


@pytest.mark.parametrize("more", ["", "connection: close\r\n"], ids=["kept", "closed"])
def test_what_fits_the_buffer_does_not_keep_a_connection_for_ever(more: str) -> None:
    """The last response is written, the connection is idle or closed, and the client reads nothing:
    the kernel alone would wait for it without end."""
    loop = SimulatedLoop()
    world = World(loop, Plan(1, 1, False, False, (), ()))
    path = "/_pushhub/v1/channels/news:1"

    async def live() -> None:
        await world.start()
        client = world.client("node0", "10.0.0.1")
        key = {"authorization": f"Bearer {API_KEY}", "content-type": "text/plain"}
        published = await client.ask("POST", f"{path}/events", key, b"x" * EVENT_BYTES)
        assert published.status == 200
        end, _ = await world.network.connect(asyncio.Protocol, "node0", PORT)
        end.pause_reading()
        get = f"GET {path} HTTP/1.1\r\nhost: node0\r\n"
        end.write(f"{get}\r\n{get}\r\n{get}{more}\r\n".encode())
        await asyncio.sleep(1)
        assert 0 < end.peer.get_write_buffer_size() < 64 * 1024
        settings = world.settings()
        await asyncio.sleep(settings.keep_alive_seconds + settings.write_seconds + 1)
        assert end.peer.lost
        await world.nodes[0].stop()

    try:
        loop.run_until_complete(live())
    finally:
        loop.close()
