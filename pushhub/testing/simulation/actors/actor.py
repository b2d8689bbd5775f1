"""What all actors share: a name, a random generator of their own, requests, pauses, sleep."""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING

from pushhub.testing.simulation import pauses
from pushhub.xmpp.cluster.gc import FORGET_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from pushhub.testing.simulation.asgi import AsgiClient
    from pushhub.testing.simulation.http import SimulatedClient, SimulatedResponse
    from pushhub.testing.simulation.node import Node
    from pushhub.testing.simulation.world import World

CHANNELS = ("news:1", "news:2", "small:1")
PRIVATE = "private:1"
PUBLISHED = (*CHANNELS, PRIVATE)
# Beyond the longest wait: a client that has no response by then will never have one.
PATIENCE_SECONDS = 90.0
# A BOSH session without a client is over after the longest pause.
GONE_SECONDS = 400.0
# A session that left its node is over when the collector of a node has seen that node silent for
# its time. It looks every so often, first then after its start.
COLLECTED_SECONDS = 3 * FORGET_SECONDS + 60.0
# What a client does after an error, as browsers' EventSource does.
RETRY_SECONDS = 1.0


class Actor:
    """Takes part until the run is over."""

    # The longest pause between two turns, in seconds.
    longest = 70.0
    # What it does in some run or other, by the names that `count` gets.
    acts: tuple[str, ...] = ("turn",)
    # Whether its responses are part of the story.
    is_told = True

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.random = Random(f"{world.plan.seed}:{name}")
        self.address = f"10.0.{self.random.randrange(256)}.{self.random.randrange(1, 255)}"
        self.roams = self.random.random() < 0.5
        self.keeps = self.random.random() < 0.7
        # Which driver its requests go through.
        self.is_asgi = self.random.random() < 0.3
        # Whether something was done since this was last looked at.
        self._has_acted = False
        self._client: SimulatedClient | AsgiClient | None = None
        self._node = ""

    async def run(self) -> None:
        """Take turns, until the run is over."""
        world = self.world
        while not world.over:
            await world.working.wait()
            if not world.over:
                self._has_acted = False
                await self.turn()
                if self._has_acted and self.acts == ("turn",):
                    self.count("turn")
                await asyncio.sleep(pauses.draw(self.random, self.longest))
        self.leave()

    async def turn(self) -> None:
        """Do one thing."""

    async def finish(self) -> None:
        """The run is over, and everything is whole again: check what only the end shows."""

    async def abandoned(self) -> None:
        """Wait until each BOSH session without a client has ended, also those that left a node."""
        world, seconds = self.world, GONE_SECONDS
        if not world.is_certain:
            last = max(node.started for node in world.nodes)
            seconds = max(seconds, last + COLLECTED_SECONDS - world.now())
        await asyncio.sleep(seconds)

    def count(self, act: str) -> None:
        """An act has been done; every one must be done in some run."""
        self.world.acts[f"{self.name.rpartition('-')[0]}: {act}"] += 1

    def tell(self, words: str) -> None:
        """Add a line to the story."""
        self._has_acted = True
        self.world.tell(self.name, words)

    # Requests

    @property
    def node(self) -> str:
        """The node that the last request was sent to."""
        return self._node

    def pick(self) -> Node | None:
        """A node that is up: any, or the same as long as it is."""
        up = [node for node in self.world.nodes if node.is_up]
        if not up:
            return None
        same = [node for node in up if node.name == self._node]
        return same[0] if same and not self.roams else self.random.choice(up)

    def credentials(self) -> dict[str, str]:
        """The headers that say who asks."""
        return {}

    def connect(self) -> SimulatedClient | AsgiClient | None:
        """A client of a node that is up."""
        node = self.pick()
        if node is None:
            return None
        self._has_acted = True
        if self._client is None or node.name != self._node or not self.keeps:
            self.leave()
            self._node = node.name
            self._client = self.world.client(node.name, self.address, asgi=self.is_asgi)
        return self._client

    async def ask(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> SimulatedResponse | None:
        """A request and its response; None if there was none, for a reason that may happen."""
        client = self.connect()
        if client is None:
            await asyncio.sleep(RETRY_SECONDS)
            return None
        asked = self.world.now()
        headers = {**self.credentials(), **(headers or {})}
        self.world.requests += 1
        try:
            response = await client.ask(method, target, headers, body, patience=PATIENCE_SECONDS)
        except TimeoutError:
            self.leave()
            if not self.world.troubled(self._node, asked, self.world.now()):
                self.world.oracle.find("silent", self.name, f"no response to {method} {target}")
            return None
        except OSError:
            self.leave()
            await asyncio.sleep(RETRY_SECONDS)
            return None
        shown = {name: text for name, text in headers.items() if name != "authorization"}
        told = response if self.is_told else response.status
        self.tell(f"{self._node} {method} {target} {shown} -> {told}")
        if response.status >= 500 and not self.may_be_refused(target, asked):
            text = f"{method} {target}: {response}"
            self.world.oracle.find("refused", self.name, text)
        return response

    async def ask_json(
        self, method: str, target: str, headers: Mapping[str, str], body: Any
    ) -> SimulatedResponse | None:
        """The same, with a JSON body."""
        import orjson

        return await self.ask(
            method, target, {"content-type": "application/json", **headers}, orjson.dumps(body)
        )

    def may_be_refused(self, target: str, asked: float) -> bool:
        """Whether a request that was sent at `asked` may get a 5xx now."""
        return self.world.troubled(self._node, asked, self.world.now())

    def leave(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None


def excuse(response: SimulatedResponse) -> bool:
    """Whether a response says why it is earlier than its wait."""
    hints = ("x-poll-interval", "retry-after")
    closing = response.headers.get("connection", "") == "close"
    return closing or any(hint in response.headers for hint in hints)
