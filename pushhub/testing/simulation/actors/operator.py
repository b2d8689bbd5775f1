"""An operator: deletes channels, restarts nodes, kills them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pushhub.settings.route import Route
from pushhub.testing.simulation.actors.actor import Actor
from pushhub.testing.simulation.world import API_KEY, ROUTES

if TYPE_CHECKING:
    from pushhub.testing.simulation.node import Node


class Operator(Actor):
    """Does what operators do, a few times in a run."""

    longest = 120.0
    acts = ("delete", "restart", "crash", "reroute", "roll")

    def credentials(self) -> dict[str, str]:
        return {"authorization": f"Bearer {API_KEY}"}

    async def turn(self) -> None:
        acts = (self._delete, self._restart, self._crash, self._reroute, self._roll)
        await self.random.choice(acts)()

    async def _delete(self) -> None:
        response = await self.ask("DELETE", "/_pushhub/v1/channels/news:2")
        if response is not None and response.status < 300:
            self.count("delete")

    async def _reroute(self) -> None:
        """Reload the routes of every node, one after the other."""
        number = self.random.randrange(10)
        self.tell(f"reloads the routes, /extra/{number} is new")
        self.world.routes = [*ROUTES, Route(path=f"/extra/{number}", step="poll")]
        self.count("reroute")
        for node in self.world.nodes:
            if node.is_up:
                node.reroute(self.world.settings())
                await asyncio.sleep(0.1)

    async def _roll(self) -> None:
        """A rolling restart of all nodes."""
        self.count("roll")
        for node in list(self.world.nodes):
            if node.is_up:
                await self._restart(node)

    async def _restart(self, node: Node | None = None) -> None:
        """A restart of one node: SIGTERM, and a new process."""
        world = self.world
        node = node or self.pick()
        if node is None or world.troubled(node.name, world.now(), world.now()):
            return
        self.tell(f"restarts {node.name}")
        self.count("restart")
        troubles = [world.trouble(node.name, drains=not world.is_certain)]
        if world.is_certain:
            troubles.append(world.trouble("*"))
        await node.stop()
        world.check_stopped(node)
        await asyncio.sleep(self.random.choice((0.01, 1.0, 10.0)))
        await world.add_node(node.name)
        world.heal(*troubles)
        if world.is_certain:
            world.messages.forgive()

    async def _crash(self) -> None:
        """SIGKILL, and a new process a while later."""
        world = self.world
        node = self.pick()
        if node is None or world.troubled(node.name, world.now(), world.now()):
            return
        self.tell(f"kills {node.name}")
        self.count("crash")
        troubles = [world.trouble(node.name)]
        if world.is_certain:
            troubles.append(world.trouble("*"))
        await world.abandon(node)
        world.messages.crashed()
        await asyncio.sleep(self.random.choice((0.01, 1.0, 25.0)))
        await world.add_node(node.name)
        world.heal(*troubles)
        if world.is_certain:
            world.messages.forgive()
