"""Clients that wait on an origin's resource, and the origin's changes of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pushhub.testing.simulation.actors.actor import RETRY_SECONDS, Actor, excuse
from pushhub.testing.simulation.world import API_KEY, ROUTES, TRACE_SECONDS

if TYPE_CHECKING:
    from pushhub.testing.simulation.world import World

PATHS = ("/poll/1", "/poll/2", "/notify/1")
POLLED = sum(path.startswith("/poll/") for path in PATHS)


class ResourceWaiter(Actor):
    """Waits until a resource is another than it has."""

    longest = 45.0

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        self.path = self.random.choice(PATHS)
        self.tag = ""
        self.version = 0

    async def turn(self) -> None:
        for _ in range(self.random.choice((1, 2, 6))):
            if self.world.over or not self.world.working.is_set():
                return
            await self._wait(self.random.choice((0, 1, 5, 25)))

    def may_be_refused(self, target: str, asked: float) -> bool:
        return super().may_be_refused(target, asked) or self._is_stalled(asked)

    def _is_stalled(self, asked: float) -> bool:
        """Whether a fetch that the origin never answered was under way. For so long no other one
        begins, and no news can come (docs/origin.md, step 1); a wait ends in time all the same.
        """
        world = self.world
        seconds = world.settings().origin_seconds + TRACE_SECONDS
        lost = world.origin.resources[self.path].lost
        return any(begun <= world.now() and begun + seconds >= asked for begun in lost)

    async def _wait(self, wait: int) -> None:
        world, asked = self.world, self.world.now()
        headers = {"prefer": f"wait={wait}"} if wait else {}
        if self.tag:
            headers["if-none-match"] = self.tag
        resource = world.origin.resources[self.path]
        waits = resource.waits
        waits.append([asked, float("inf")])
        span = waits[-1]
        response = await self.ask("GET", self.path, headers)
        span[1] = now = world.now()
        stalled = self._is_stalled(asked)
        troubled = world.troubled("origin", asked, now) or world.troubled(self.node, asked, now)
        if response is None:
            return
        if response.status == 200:
            version = response.json()["version"]
            if version < self.version and not troubled:
                text = f"{self.path} went from version {self.version} to {version}"
                world.oracle.find("back", self.name, text)
            self.version, self.tag = version, response.headers.get("etag", "")
        elif response.status != 304:
            if not (troubled or stalled):
                world.oracle.find("refused", self.name, f"{self.path}: {response}")
            await asyncio.sleep(RETRY_SECONDS)
            return
        if troubled:
            return
        newest, seen = resource.version, resource.changed
        if self.path.startswith("/notify"):
            newest, seen = resource.told, resource.notified
        if self.version < newest and 0 < seen < now - latest_seconds(world) and not stalled:
            text = f"{self.path}: {response} {now - seen:.3f} s after version {resource.version}"
            world.oracle.find("missed", self.name, text)
        granted = response.headers.get("preference-applied", "")
        if granted.startswith("wait=") and "if-none-match" in headers:
            world.oracle.waited(
                self.name, self.node, int(granted[5:]), asked,
                empty=response.status == 304, excused=excuse(response),
            )  # fmt: skip


def latest_seconds(world: World) -> float:
    """How late news of a resource may be: two paced fetches, and the origin's own time. While the
    pace is stretched, requests of clients may have used the budget before.
    """
    settings = world.settings()
    stretched = POLLED / settings.fetch_rate
    if stretched <= ROUTES[0].interval:
        return 2.0 * ROUTES[0].interval + 1.0
    return 2.0 * stretched + 1.0 + settings.replaces


class Changer(Actor):
    """Changes a resource, and says so where the route waits for it."""

    longest = 40.0

    def credentials(self) -> dict[str, str]:
        return {"authorization": f"Bearer {API_KEY}"}

    async def turn(self) -> None:
        path = self.random.choice(PATHS)
        world = self.world
        world.origin.change(path)
        self.tell(f"changes {path} to version {world.origin.resources[path].version}")
        if path.startswith("/notify"):
            version = world.origin.resources[path].version
            while True:
                world.origin.resources[path].notices.append(world.now())
                response = await self.ask_json(
                    "POST", "/_pushhub/v1/notify", {}, {"resources": [path]}
                )
                if response is not None and response.status == 200:
                    break
                await asyncio.sleep(RETRY_SECONDS)
            if world.origin.resources[path].version == version:
                world.origin.resources[path].notified = world.now()
                world.origin.resources[path].told = version
