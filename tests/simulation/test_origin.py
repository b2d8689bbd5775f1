"""An origin that is silent, and a resource's channel that is deleted, or whose delete fails."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pushhub.origin.sharing import CLEAR_SECONDS
from pushhub.testing.simulation.loop import SimulatedLoop
from pushhub.testing.simulation.plan import Plan
from pushhub.testing.simulation.registers import SINGLE
from pushhub.testing.simulation.world import API_KEY, World

if TYPE_CHECKING:
    from pushhub.testing.simulation.asgi import AsgiClient
    from pushhub.testing.simulation.http import Client


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


def test_a_wait_goes_on_when_another_node_forgets_the_resource() -> None:
    """A node that has published deletes the resource's channel when its own clients have left; on
    the other node a client still waits, and gets the next change."""
    loop = SimulatedLoop()
    world = World(loop, Plan(1, 2, is_shared=True, has_xmpp=False, actors=(), phases=()))
    path, wait = "/notify/1", 55
    linger = world.routes[1].linger
    opted = {"prefer": f"wait={wait}"}

    async def notify(client: Client | AsgiClient) -> None:
        world.origin.change(path)
        headers = {"authorization": f"Bearer {API_KEY}", "content-type": "application/json"}
        body = b'{"resources":["%b"]}' % path.encode()
        assert (await client.ask("POST", "/_pushhub/v1/notify", headers, body)).status == 200

    async def forgotten() -> None:
        async with asyncio.timeout(3 * linger):
            while any(name.startswith("$origin:") and name not in SINGLE for name in names()):  # noqa: ASYNC110
                await asyncio.sleep(0.1)  # Virtual time: nothing tells of a delete.

    def names() -> list[str]:
        return list(world.log.registers)

    async def story() -> None:
        await world.start()
        near, far, other = (world.client(f"node{n}", f"10.0.0.{n}") for n in (0, 1, 0))
        tag = (await near.ask("GET", path, opted)).headers["etag"]
        waiting = asyncio.ensure_future(near.ask("GET", path, {**opted, "if-none-match": tag}))
        await asyncio.sleep(1)
        await notify(other)
        tag = (await waiting).headers["etag"]
        assert tag == '"v2"'
        waiting = asyncio.ensure_future(far.ask("GET", path, {**opted, "if-none-match": tag}))
        await forgotten()
        assert not waiting.done(), await waiting
        fetches = len(world.origin.resources[path].fetches)
        await asyncio.sleep(5)
        assert not waiting.done(), await waiting
        assert len(world.origin.resources[path].fetches) <= fetches + 1
        await notify(other)
        assert (await waiting).headers["etag"] == '"v3"'
        tag = (await far.ask("GET", path, {**opted, "if-none-match": tag})).headers["etag"]
        begun = loop.time()
        response = await far.ask("GET", path, {**opted, "if-none-match": tag})
        assert response.status == 304
        assert 0.8 * wait <= loop.time() - begun <= wait + 1
        for client in (near, far, other):
            client.close()
        for node in world.nodes:
            await node.stop()

    try:
        loop.run_until_complete(story())
    finally:
        loop.close()
