"""An operator: deletes channels, restarts nodes, kills them."""

from __future__ import annotations

from pushhub.testing.simulation.actors.actor import Actor
from pushhub.testing.simulation.world import API_KEY


class Operator(Actor):
    """Does what operators do, a few times in a run."""

    longest = 120.0

    def credentials(self) -> dict[str, str]:
        return {"authorization": f"Bearer {API_KEY}"}

    async def turn(self) -> None:
        await self.random.choice((self._delete, self._restart, self._crash))()

    async def _delete(self) -> None:
        await self.ask("DELETE", "/_pushhub/v1/channels/news:2")

    async def _restart(self) -> None:
        """A rolling restart of one node: SIGTERM, and a new process."""
        world = self.world
        node = self.pick()
        if node is None or world.troubled(node.name, world.now(), world.now()):
            return
        self.tell(f"restarts {node.name}")
        troubles = [world.trouble(node.name, drains=not world.is_certain)]
        if world.is_certain:
            troubles.append(world.trouble("*"))
        await node.stop()
        await world.loop_sleep(self.random.choice((0.01, 1.0, 10.0)))
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
        troubles = [world.trouble(node.name)]
        if world.is_certain:
            troubles.append(world.trouble("*"))
        node.crash()
        world.messages.crashed()
        view = world.view(node)
        if view is not None:
            await view.close()
        await world.loop_sleep(self.random.choice((0.01, 1.0, 25.0)))
        await world.add_node(node.name)
        world.heal(*troubles)
        if world.is_certain:
            world.messages.forgive()
