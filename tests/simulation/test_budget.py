"""One budget of fetches for an origin, over several nodes, on virtual time."""

import asyncio
from bisect import bisect_right

from pushhub.log.event import Draft
from pushhub.origin.shared.fetch_budget import Demand
from pushhub.origin.shared.fetch_pace import CHANNEL, RETENTION
from pushhub.origin.shared.node_demands import SILENT_SECONDS, DemandHeartbeat, origin_id
from pushhub.store.base import Append
from pushhub.testing.simulation.world import World
from tests.simulation.test_origin import live

NODES, CLIENTS = 3, 20


class Waiting:
    """Clients of a node that wait again and again, each on a resource."""

    def __init__(self, world: World, node: str, paths: list[str]) -> None:
        self._world, self._node = world, node
        self.told: dict[str, float] = {}
        """When a client was last told of a change, by path."""
        self.tasks = [asyncio.ensure_future(self._wait(path)) for path in paths]

    async def _wait(self, path: str) -> None:
        client = self._world.client(self._node, "10.0.0.1")
        tag = ""
        try:
            while True:
                headers = {"prefer": "wait=25"} | ({"if-none-match": tag} if tag else {})
                response = await client.ask("GET", path, headers)
                if response.status == 200:
                    self.told[path], tag = self._world.now(), response.headers["etag"]
                if "preference-applied" not in response.headers:
                    await asyncio.sleep(5)
        finally:
            client.close()

    async def leave(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.wait(self.tasks)


def fetched(world: World, begin: float, end: float) -> list[float]:
    """The moments of all fetches in that time."""
    times = sorted(at for resource in world.origin.resources.values() for at in resource.fetches)
    return times[bisect_right(times, begin) : bisect_right(times, end)]


def check(world: World, begin: float, rate: float) -> None:
    """All nodes together fetched no more than so often since `begin`, in any second and in all of
    that time.
    """
    times = fetched(world, begin, world.now())
    for seconds in (1.0, 5.0, world.now() - begin):
        most = max(bisect_right(times, at + seconds) - i for i, at in enumerate(times))
        # Each node may save a token, and none loses one to a late tick.
        assert most <= rate * seconds + NODES + 1, (most, seconds, rate)


def test_all_nodes_together_stay_within_one_budget() -> None:
    async def story(world: World) -> None:
        await world.start()
        crowds = [
            Waiting(world, f"node{node}", [f"/poll/{node}-{number}" for number in range(CLIENTS)])
            for node in range(NODES)
        ]
        await asyncio.sleep(20)
        # Sixty clients that polled every 5 s.
        rate, begun = NODES * CLIENTS / 5, world.now()
        await asyncio.sleep(60)
        check(world, begun, rate)
        assert len(fetched(world, begun, world.now())) >= 0.75 * rate * 60
        for path in list(world.origin.resources):
            world.origin.change(path)
        changed = world.now()
        await asyncio.sleep(6.5)
        for crowd in crowds:
            assert len(crowd.told) == CLIENTS
            assert min(crowd.told.values()) >= changed

        # Without the log each node keeps its last share. Clients cannot wait, and poll.
        views = [world.view(node) for node in world.nodes]
        begun = world.now()
        for view in views:
            assert view is not None
            view.fail()
        await asyncio.sleep(20)
        check(world, begun, 1.25 * rate)
        for view in views:
            assert view is not None
            view.recover()
        await asyncio.sleep(30)

        # A node dies, and another one takes over its clients. They count twice for 10 s.
        await crowds[2].leave()
        world.nodes[2].crash()
        begun = world.now()
        crowds[2] = Waiting(world, "node1", [f"/poll/2-{number}" for number in range(CLIENTS)])
        await asyncio.sleep(60)
        check(world, begun + 12, rate)
        recent = world.now() - 20
        assert len(fetched(world, recent, world.now())) >= 0.75 * rate * 20
        for crowd in crowds:
            await crowd.leave()
        # Nobody waits, and the nodes say nothing more.
        await asyncio.sleep(90)
        assert world.shared is not None
        assert world.shared.registers.get("$origin:pace", 0) == 0
        for node in world.nodes[:2]:
            await node.stop()

    live(story, nodes=NODES, is_shared=True)


def test_resources_that_nodes_have_in_common_count_once() -> None:
    async def story(world: World) -> None:
        world.fetch_rate = 10.0
        await world.start()
        paths = [f"/poll/{number}" for number in range(8)]
        crowds = [Waiting(world, f"node{node}", paths) for node in range(NODES)]
        await asyncio.sleep(20)
        begun = world.now()
        await asyncio.sleep(30)
        # Eight fetches a second are within the budget, so nothing is stretched.
        assert 0.75 * 8 * 30 <= len(fetched(world, begun, world.now())) <= 8 * 30 + 16
        for path in paths:
            world.origin.change(path)
        changed = world.now()
        await asyncio.sleep(1.5)
        for crowd in crowds:
            assert min(crowd.told.values()) >= changed
            await crowd.leave()
        for node in world.nodes:
            await node.stop()

    live(story, nodes=NODES, is_shared=True)


def test_a_lone_waiter_on_a_shared_log_is_fetched_for_from_the_first_second_on() -> None:
    async def story(world: World) -> None:
        await world.start()
        crowd = Waiting(world, "node0", ["/poll/1"])
        await asyncio.sleep(10)
        fetches = world.origin.resources["/poll/1"].fetches
        assert fetches[2] - fetches[1] <= 1.25
        assert len(fetches) >= 8
        await crowd.leave()
        for node in world.nodes:
            await node.stop()

    live(story, nodes=2, is_shared=True)


def test_a_heartbeat_that_comes_to_a_node_without_demand_is_forgotten() -> None:
    """The last heartbeat of a node that has died, while this one has just measured nothing."""

    async def story(world: World) -> None:
        await world.start()
        (node,) = world.nodes
        target = "http://origin:80"
        assert node.app.origin is not None
        assert node.app.origin.resources is not None
        node.app.origin.resources.pace.at(target)
        before = node.weigh()
        await asyncio.sleep(0.3)
        demands = {origin_id(target): Demand(1, ((0, 1),), (7,))}
        draft = Draft(DemandHeartbeat("dead", 0.0, demands).encode())
        await node.app.service.hub.recorded(Append(CHANNEL, draft, RETENTION))
        await asyncio.sleep(0.3)
        assert node.weigh()["NodeDemands._nodes"] > before["NodeDemands._nodes"]
        await asyncio.sleep(SILENT_SECONDS + 5)
        assert node.weigh()["NodeDemands._nodes"] == before["NodeDemands._nodes"]
        await node.stop()

    live(story, nodes=1, is_shared=True)
