"""Clients that read feeds: plain polls, long-polls, many channels at once, streams."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import orjson

from pushhub.testing.simulation.actors.actor import CHANNELS, PRIVATE, RETRY_SECONDS, Actor, excuse
from pushhub.testing.simulation.actors.publishers import events_of

if TYPE_CHECKING:
    from typing import Any

    from pushhub.testing.simulation.world import World


class FeedReader(Actor):
    """Long-polls one channel, and never loses its place."""

    waits: tuple[int, ...] = (1, 5, 25, 55)
    longest = 8.0

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        self.channel = self.random.choice(CHANNELS)
        self.cursor = ""
        # How often it hangs up in the middle of a wait.
        self._hangs_up = self.random.choice((0.0, 0.0, 0.2))

    async def turn(self) -> None:
        for _ in range(self.random.choice((1, 1, 3, 10))):
            if self.world.over or not self.world.working.is_set():
                return
            wait = self.random.choice(self.waits) if self.waits and self.cursor else 0
            if wait and self.random.random() < self._hangs_up:
                await self._hang_up(wait)
            else:
                await self.poll(wait)

    async def poll(self, wait: int) -> bool:
        """One poll; whether it was read to the end."""
        since, asked = self.cursor or "now", self.world.now()
        headers = {"prefer": f"wait={wait}"} if wait else {}
        response = await self.ask("GET", f"{events_of(self.channel)}?since={since}", headers)
        if response is None:
            return False
        if response.status == 410:
            problem = response.json()
            self.world.oracle.gap(self.name, self.channel, since, problem)
            self.cursor = problem["oldest"]
            return False
        if response.status != 200:
            self.refused(response.status)
            await asyncio.sleep(RETRY_SECONDS)
            return False
        page = response.json()
        if self.cursor:
            oracle = self.world.oracle
            oracle.page(self.name, self.node, self.channel, since, page, asked)
            granted = response.headers.get("preference-applied", "")
            if granted.startswith("wait="):
                empty = not page["events"]
                excused = excuse(response) or "retry_ms" in page or self.may_end_early
                seconds = self.longest_wait(int(granted[5:]), asked)
                oracle.waited(self.name, self.node, seconds, asked, empty=empty, excused=excused)
                if empty and not excused:
                    oracle.missed(self.name, self.node, self.channel, page["cursor"], asked)
        self.received(page, asked)
        self.cursor = page["cursor"]
        return bool(page.get("up_to_date"))

    @property
    def may_end_early(self) -> bool:
        """Whether a wait may end at any time, because of the reader's rights."""
        return False

    def longest_wait(self, granted: int, asked: float) -> float:
        """How long a granted wait may last."""
        return granted

    def received(self, page: Any, asked: float) -> None:
        """A page has arrived."""

    def refused(self, status: int) -> None:
        """A poll was refused."""

    async def _hang_up(self, wait: int) -> None:
        poll = asyncio.ensure_future(self.poll(wait))
        await asyncio.wait({poll}, timeout=self.random.uniform(0.001, wait))
        if not poll.done():
            self.tell("hangs up")
            self.leave()
        await poll

    async def finish(self) -> None:
        if not self.cursor:
            return
        for _ in range(1000):
            if await self.poll(0):
                break
        self.world.oracle.ended(self.name, self.channel, self.cursor)
        self.leave()


class TokenReader(FeedReader):
    """Reads a private channel with tokens that end, also in the middle of a wait."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        self.channel = PRIVATE
        self._token = ""
        self._expires = 0.0
        self._until = 0.0

    def credentials(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self._token}"}

    async def poll(self, wait: int) -> bool:
        if not self._token:
            seconds = self.random.choice((2.0, 10.0, 30.0, 3600.0))
            self._token, self._expires, left = self.world.token(seconds)
            self._until = self.world.now() + left
        return await super().poll(wait)

    @property
    def may_end_early(self) -> bool:
        # After a step of the wall clock the token's end is not where it was.
        return any(step >= self._until - 3600 for step in self.world.steps)

    def longest_wait(self, granted: int, asked: float) -> float:
        return granted if self.may_end_early else min(granted, max(0.0, self._until - asked))

    def received(self, page: Any, asked: float) -> None:
        world = self.world
        if not any(step >= asked for step in world.steps):
            clock = world.now() + world.clock_offset
            world.oracle.delivered_by_token(self.name, page, self._expires, clock)

    def refused(self, status: int) -> None:
        if status == 401:
            self._token = ""


class PlainPoller(FeedReader):
    """Polls without waiting."""

    waits = ()
    longest = 40.0


class ManyReader(Actor):
    """Reads several channels with one request."""

    longest = 8.0

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        self.cursors: dict[str, str] = {}

    async def turn(self) -> None:
        wait = self.random.choice((0, 5, 25, 55))
        asked = self.world.now()
        body: dict[str, Any] = {"channels": {c: self.cursors.get(c, "now") for c in CHANNELS}}
        if wait:
            body["wait"] = wait
        response = await self.ask_json("POST", "/_pushhub/v1/poll", {}, body)
        if response is None or response.status != 200:
            await asyncio.sleep(RETRY_SECONDS)
            return
        answer = response.json()
        oracle, events = self.world.oracle, answer.get("events", [])
        for channel, gap in answer.get("gaps", {}).items():
            if channel in self.cursors:  # Else it was to begin now, and the log has a new epoch.
                oracle.gap(self.name, channel, self.cursors[channel], gap)
        for channel, cursor in answer.get("cursors", {}).items():
            since = self.cursors.get(channel)
            if since is not None and channel not in answer.get("gaps", {}):
                own = [event for event in events if event["channel"] == channel]
                page = {"cursor": cursor, "events": own}
                oracle.page(self.name, self.node, channel, since, page, asked)
            self.cursors[channel] = cursor
        granted = response.headers.get("preference-applied", "")
        if wait and granted.startswith("wait="):
            excused = excuse(response) or "retry_ms" in answer
            empty = not events and not answer.get("gaps")
            oracle.waited(
                self.name, self.node, int(granted[5:]), asked, empty=empty, excused=excused
            )
            if empty and not excused:
                for channel, cursor in self.cursors.items():
                    oracle.missed(self.name, self.node, channel, cursor, asked)


class StreamReader(Actor):
    """Reads one channel as Server-Sent Events, and reconnects as browsers do."""

    longest = 5.0

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        self.channel = self.random.choice(CHANNELS)
        self.cursor = ""
        self._asked = 0.0

    async def turn(self) -> None:
        client = self.connect()
        if client is None:
            return
        headers = {"accept": "text/event-stream"}
        if self.cursor:
            headers["last-event-id"] = self.cursor
        self.world.requests += 1
        self._asked = self.world.now()
        until = self._asked + self.random.choice((1, 14, 16, 40, 100))
        try:
            await client.send("GET", f"{events_of(self.channel)}?since=now", headers)
            async with asyncio.timeout_at(until):
                response = await client.head()
                if response.status == 200:
                    await self._read(client)
        except (OSError, TimeoutError):
            pass
        self.leave()

    async def _read(self, client: Any) -> None:
        buffer = b""
        while piece := await client.piece():
            buffer += piece
            while b"\n\n" in buffer:
                block, _, buffer = buffer.partition(b"\n\n")
                self._take(block.decode())

    def _take(self, block: str) -> None:
        fields: dict[str, str] = {}
        for line in block.split("\n"):
            name, _, value = line.partition(": ")
            fields[name] = f"{fields[name]}\n{value}" if name in fields else value
        id, data = fields.get("id"), fields.get("data")
        if id is None:
            return
        oracle = self.world.oracle
        if not self.cursor or data is None:
            if data is None and self.cursor and id != self.cursor:
                oracle.find("hole", self.name, f"{self.cursor} became {id} without an event")
            self.cursor = id
        elif fields.get("event") == "gap":
            oracle.gap(self.name, self.channel, self.cursor, data)
            self.cursor = id
        else:
            offset = int(id.rpartition("-")[2])
            page = {"cursor": id, "events": [{"offset": offset, "data": orjson.loads(data)}]}
            oracle.page(self.name, self.node, self.channel, self.cursor, page, self._asked)
            self.cursor = id
