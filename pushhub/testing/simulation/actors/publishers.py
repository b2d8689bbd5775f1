"""Back ends that publish: plainly, in batches, with idempotency keys, with compare-and-set."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING

from pushhub.store.base import IDEMPOTENCY_SECONDS
from pushhub.testing.simulation import pauses
from pushhub.testing.simulation.actors.actor import PUBLISHED, RETRY_SECONDS, Actor
from pushhub.testing.simulation.world import API_KEY

if TYPE_CHECKING:
    from typing import Any

    from pushhub.testing.simulation.world import World

# Within this time a repeated key must be noticed; a request takes less than the rest.
KEY_SECONDS = IDEMPOTENCY_SECONDS - 5.0


def events_of(channel: str) -> str:
    """The route of a channel's events; all names here are plain."""
    return f"/_pushhub/v1/channels/{channel}/events"


class Publisher(Actor):
    """Publishes one event a turn; what fails is not repeated."""

    longest = 12.0

    def credentials(self) -> dict[str, str]:
        return {"authorization": f"Bearer {API_KEY}"}

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        self._numbers = count(1)

    def draw_id(self) -> str:
        """An id that no other event has."""
        return f"{self.name}.{next(self._numbers)}"

    async def turn(self) -> None:
        await self.publish(self.random.choice(PUBLISHED), self.draw_id(), {})

    async def publish(
        self, channel: str, id: str, headers: dict[str, str], begun: float | None = None
    ) -> Any:
        """Publish one event; its receipt, or None. `begun` is when it was first tried."""
        asked = self.world.now() if begun is None else begun
        response = await self.ask_json("POST", events_of(channel), headers, {"id": id})
        if response is None or response.status != 200:
            return None
        receipt = response.json()
        self.world.oracle.published(channel, receipt["cursor"], id, asked)
        return receipt


class BatchPublisher(Publisher):
    """Publishes several events to several channels in one request."""

    async def turn(self) -> None:
        items = [
            {"channel": self.random.choice(PUBLISHED), "data": {"id": self.draw_id()}}
            for _ in range(self.random.randrange(1, 6))
        ]
        asked = self.world.now()
        response = await self.ask_json("POST", "/_pushhub/v1/publish", {}, items)
        if response is None or response.status != 200:
            return
        for item, receipt in zip(items, receipts(response.json()), strict=True):
            if "cursor" in receipt:
                data: Any = item["data"]
                self.world.oracle.published(
                    receipt["channel"], receipt["cursor"], data["id"], asked
                )


def receipts(answer: Any) -> list[Any]:
    """The receipts of a batch, one for each item with one channel."""
    found: list[Any] = answer["results"] if isinstance(answer, dict) else answer
    return found


class IdempotentPublisher(Publisher):
    """Repeats a publish until it is acknowledged, and sometimes once more after a while."""

    async def turn(self) -> None:
        channel, id = self.random.choice(PUBLISHED), self.draw_id()
        headers = {"idempotency-key": id}
        begun, first = self.world.now(), None
        while self.world.now() - begun < KEY_SECONDS and not self.world.over:
            receipt = await self.publish(channel, id, headers, begun)
            if receipt is None:
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if first is not None and receipt["cursor"] != first["cursor"]:
                epochs = {receipt["epoch"], first["epoch"]}
                # The log counts a key's time by the wall clock.
                if len(epochs) == 1 and not any(step >= begun for step in self.world.steps):
                    text = f"{id} is {first['cursor']} and {receipt['cursor']}"
                    self.world.oracle.find("twice", self.name, text)
                return
            if first is not None or self.random.random() < 0.5:
                return
            first = receipt
            left = begun + KEY_SECONDS - self.world.now()
            await asyncio.sleep(pauses.draw(self.random, max(left, RETRY_SECONDS)))


class CarefulPublisher(Publisher):
    """Changes a value that nobody else writes, by `If-Match`."""

    longest = 30.0

    async def turn(self) -> None:
        channel = f"own:{self.name}"
        asked = self.world.now()
        response = await self.ask("GET", f"/_pushhub/v1/channels/{channel}")
        if response is None or response.status not in (200, 404):
            return
        for _ in range(self.random.randrange(1, 4)):
            tag = response.headers.get("etag")
            headers = {"if-match": tag} if tag else {"if-none-match": "*"}
            body = {"id": self.draw_id()}
            answer = await self.ask_json("POST", events_of(channel), headers, body)
            if answer is None or answer.status == 503:
                return  # Nobody knows whether it was written.
            if answer.status == 412 and not self._excused(asked):
                text = f"412 for {headers}, and nobody else writes {channel}"
                self.world.oracle.find("own-write", self.name, text)
            if answer.status != 200:
                return
            receipt = answer.json()
            read = self.world.now()
            response = await self.ask("GET", f"/_pushhub/v1/channels/{channel}")
            if response is None or response.status != 200:
                return
            own = (receipt["epoch"], receipt["offset"])
            tag = response.headers["etag"]
            if not self._excused(asked):
                self.world.oracle.value(self.name, self.node, channel, tag, own, read)

    def _excused(self, asked: float) -> bool:
        """Own writes are read on the node that took them; another may be a moment behind."""
        return (self.roams and len(self.world.nodes) > 1) or self.world.troubled(
            self.node, asked, self.world.now()
        )
