"""A busy loop shows in the number of callbacks: no more of them than the requests and the nodes
that ended explain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.testing.simulation.loop import BusyLoop

if TYPE_CHECKING:
    from pushhub.testing.simulation.world import World

# So many callbacks may a node schedule at rest and for each request, in a minute and each.
CALLBACKS_A_SECOND = 100
CALLBACKS_A_REQUEST = 3_000
# So many when nothing happens, with a fifth on top: 0.57 were measured on three nodes, and 4.3 with
# XMPP, most of them for heartbeats. A loop that wakes up once a second shows.
REST_CALLBACKS_A_SECOND, REST_CALLBACKS_A_SECOND_XMPP = 0.7, 5.2
# So many may each node schedule to delete the data of a node that ended, with the sessions that
# left it: 80 were measured with 111 nodes that left one session each.
CALLBACKS_A_DELETED_NODE = 200
HEARTBEATS = "$xmpp:sign:"


class WorkBound:
    """Compares the callbacks of all nodes with what happened since the last check."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._at = 0.0
        self._callbacks = self._requests = 0
        self._heartbeats: set[str] = set()

    def check(self) -> None:
        """Stop the run if there are more callbacks than requests and ended nodes explain."""
        world = self._world
        now, ran = world.now(), sum(node.process.callbacks for node in world.nodes)
        # Only nodes that share a log delete each other's data.
        registers = world.log.registers if world.plan.has_xmpp and not world.is_certain else ()
        heartbeats = {name for name in registers if name.startswith(HEARTBEATS)}
        seconds, asked = now - self._at, world.requests - self._requests
        deleted = len(self._heartbeats - heartbeats)
        each = CALLBACKS_A_SECOND * seconds + CALLBACKS_A_DELETED_NODE * deleted
        bound = each * len(world.nodes) + CALLBACKS_A_REQUEST * (asked + 1)
        if self._at and ran - self._callbacks > bound:
            text = f"{ran - self._callbacks} callbacks in {seconds:.1f} s for {asked} requests"
            world.oracle.find("busy", "world", text)
            raise BusyLoop(text)
        self._at, self._callbacks, self._requests = now, ran, world.requests
        self._heartbeats = heartbeats

    def check_rest(self) -> None:
        """`check`, after a time in which nothing happened at all."""
        world, seconds = self._world, self._world.now() - self._at
        ran = sum(node.process.callbacks for node in world.nodes) - self._callbacks
        has_xmpp = world.plan.has_xmpp
        rate = REST_CALLBACKS_A_SECOND_XMPP if has_xmpp else REST_CALLBACKS_A_SECOND
        if self._at and ran > rate * seconds * len(world.nodes):
            each = ran / seconds / len(world.nodes)
            text = f"{each:.2f} callbacks a second and node at rest, of at most {rate}"
            world.oracle.find("busy", "world", text)
        self.check()
