"""Clients of an origin that speaks GRIP, and the publisher beside it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pushhub.testing.simulation.actors.actor import RETRY_SECONDS, Actor, excuse
from pushhub.testing.simulation.grip import HOLD_SECONDS, KEEP_ALIVE_SECONDS, channel_of, is_exact
from pushhub.testing.simulation.oracle import DELIVERY_SECONDS
from pushhub.testing.simulation.world import API_KEY

if TYPE_CHECKING:
    from pushhub.testing.simulation.asgi import AsgiClient
    from pushhub.testing.simulation.http import SimulatedClient
    from pushhub.testing.simulation.world import World

TOPICS = ("t0", "t1")
# A client asks for the whole again once a minute, if a stream has ended.
LONGEST_STREAM = 100.0


class GripPublisher(Actor):
    """Writes an item to the origin, then publishes it, until that is acknowledged."""

    longest = 30.0

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        self.topic = f"t{name.rpartition('-')[2]}"

    def credentials(self) -> dict[str, str]:
        return {"authorization": f"Bearer {API_KEY}"}

    async def turn(self) -> None:
        for _ in range(self.random.choice((1, 1, 3))):
            await self._publish()

    async def _publish(self) -> None:
        script = self.world.origin.script
        script.written[self.topic] += 1
        number = script.written[self.topic]
        formats = {
            "http-response": {"body": f"{number}\n"},
            "http-stream": {"content": f"{number}\n"},
        }
        item = {"channel": channel_of(self.topic), "id": str(number), "formats": formats}
        if is_exact(self.topic):
            item["prev-id"] = str(number - 1)
        while True:
            response = await self.ask_json("POST", "/_pushhub/publish/", {}, {"items": [item]})
            if response is not None and response.status == 200:
                break
            await asyncio.sleep(RETRY_SECONDS)
        script.published[self.topic].append((number, self.world.now()))


class GripReader(Actor):
    """A client that has read a topic up to an item."""

    longest = 8.0

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        self.topic = self.random.choice(TOPICS)
        self.after = -1

    def start(self) -> None:
        """The first read is from where the topic stands."""
        if self.after < 0:
            self.after = self.world.origin.script.written[self.topic]

    def take(self, text: str, *, unsure: bool) -> None:
        """Items have come; the same may come again, but none is left out."""
        for line in text.split():
            if line == ".":
                continue
            number = int(line)
            if number > self.after + 1 and not unsure:
                text = f"{self.topic}: item {number} after {self.after}"
                self.world.oracle.find("hole", self.name, text)
            self.after = max(self.after, number)

    def missed(self, begun: float) -> None:
        """Nothing has come for some time: nothing was published in time."""
        world, now = self.world, self.world.now()
        for number, at in reversed(world.origin.script.published[self.topic]):
            if at < now - 300:
                break
            is_due = number > self.after and at < now - 2 * DELIVERY_SECONDS
            if is_due and not self.troubled(min(at, begun)):
                text = f"{self.topic}: item {number} was published at {at:.3f} s, read {self.after}"
                world.oracle.find("missed", self.name, text)
                return

    def troubled(self, begun: float) -> bool:
        """Whether anything was wrong since then."""
        return self.world.troubled_any(begun, self.world.now())


class GripPoller(GripReader):
    """Polls, and is held when there is nothing new."""

    async def turn(self) -> None:
        self.start()
        for _ in range(self.random.choice((1, 2, 5))):
            if self.world.over or not self.world.working.is_set():
                return
            await self._poll()

    async def _poll(self) -> None:
        world, asked = self.world, self.world.now()
        response = await self.ask("GET", f"/grip/hold/{self.topic}?after={self.after}")
        if response is None:
            return
        if response.status != 200:
            if not self.troubled(asked):
                world.oracle.find("refused", self.name, f"{response}")
            await asyncio.sleep(RETRY_SECONDS)
            return
        empty = not response.body
        # Two publishes at one moment: the hold ends with the first.
        self.take(response.body.decode(), unsure=self.troubled(asked))
        if empty:
            oracle, excused = world.oracle, excuse(response)
            oracle.waited(self.name, self.node, HOLD_SECONDS, asked, empty=True, excused=excused)
            self.missed(asked)


class GripStreamReader(GripReader):
    """Reads a stream that the origin holds, and connects again where it left off."""

    async def turn(self) -> None:
        self.start()
        client = self.connect()
        if client is None:
            return
        world = self.world
        world.requests += 1
        asked = world.now()
        until = asked + self.random.choice((1.0, 14.0, 16.0, 40.0, LONGEST_STREAM))
        try:
            await client.send("GET", f"/grip/stream/{self.topic}?after={self.after}")
            async with asyncio.timeout_at(until):
                response = await client.head()
                if response.status == 200:
                    await self._read(client)
                elif not self.troubled(asked):
                    world.oracle.find("refused", self.name, f"{response}")
        except (OSError, TimeoutError):
            pass
        self.leave()

    async def _read(self, client: SimulatedClient | AsgiClient) -> None:
        world, text, heard = self.world, "", self.world.now()
        while True:
            try:
                async with asyncio.timeout(KEEP_ALIVE_SECONDS + DELIVERY_SECONDS):
                    piece = await client.piece()
            except TimeoutError:
                if not self.troubled(heard):
                    world.oracle.find("silent", self.name, "no keep-alive")
                return
            if not piece:
                return
            lines, _, text = (text + piece.decode()).rpartition("\n")
            self.take(lines, unsure=self.troubled(heard))
            if lines.endswith("."):
                self.missed(heard)
            heard = world.now()
