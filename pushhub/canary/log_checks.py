"""The checks of the log: one publish must reach a wait, a stream, and the value.

The stream goes on where that of the last round ended, so it reads every event of all canaries. An
offset that it skips without a gap is an event that was lost untold.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import TYPE_CHECKING

import orjson

from pushhub.canary.check import CanaryFailure, CheckRunner
from pushhub.canary.client import CanaryClient
from pushhub.canary.feed_check import FeedCheck
from pushhub.canary.listener import EVENTS, VALUE
from pushhub.canary.log_reads import CanaryStream, CanaryWait, expect_200
from pushhub.canary.sequence import EventSequence
from pushhub.log.cursor import Cursor, parse_cursor

if TYPE_CHECKING:
    from pushhub.canary.client import Dial
    from pushhub.hub.hub import Hub

CHECKS = ("feed", "publish", "hold", "stream", "value")


class LogChecks:
    """The checks of the log, and what they remember from one round to the next."""

    def __init__(self, hub: Hub, dial: Dial, prefix: str, runner: CheckRunner, node: str) -> None:
        self._dial = dial
        self._prefix = prefix
        self._runner = runner
        self._node = node
        self._round = 0
        self._feed = FeedCheck(hub)
        self._streamed = EventSequence()

    @property
    def lost_untold(self) -> int:
        """The events that were lost without a gap."""
        return self._streamed.untold + self._feed.sequence.untold

    async def run(self) -> None:
        """One round."""
        # First: an event of this round would make the hub read what the feed has lost.
        await self._runner.run("feed", self._feed.run())
        begun = self._runner.now()
        try:
            with ExitStack() as connections:
                await self._publish_and_read(connections)
        except OSError as error:
            # No socket is left.
            for name in ("publish", "hold", "stream", "value"):
                self._runner.settle(name, begun, f"{type(error).__name__}: {error}")

    async def _publish_and_read(self, connections: ExitStack) -> None:
        runner = self._runner
        wait = CanaryWait(await self._connect(connections), self._prefix)
        client = await self._connect(connections)
        stream = CanaryStream(client, self._prefix, self._streamed)
        held, streams = await asyncio.gather(
            runner.attempt(wait.open()), runner.attempt(stream.open())
        )
        publisher = await self._connect(connections)
        published: list[Cursor] = []
        # The wait is parked by now: its bytes were sent before, and the loop has read them.
        begun = runner.now()
        if not await runner.run("publish", self._publish(publisher, published)):
            for name in ("hold", "stream", "value"):
                runner.settle(name, begun, "The publish failed.")
            return
        (cursor,) = published
        await asyncio.gather(
            self._follow("hold", held, wait, cursor, begun),
            self._follow("stream", streams, stream, cursor, begun),
            runner.run("value", self._check_value(publisher, cursor)),
        )

    async def _connect(self, connections: ExitStack) -> CanaryClient:
        client = CanaryClient(*await self._dial())
        connections.callback(client.close)
        return client

    async def _publish(self, client: CanaryClient, published: list[Cursor]) -> None:
        self._round += 1
        body = orjson.dumps({"node": self._node, "round": self._round})
        headers = {"content-type": "application/json"}
        response = await client.ask("POST", self._prefix + EVENTS, headers, body)
        published.append(parse_cursor(orjson.loads(expect_200(response).body)["cursor"]))

    async def _follow(
        self, name: str, failed: str, reads: CanaryWait | CanaryStream, cursor: Cursor, begun: float
    ) -> None:
        """The verdict on a wait or a stream, which may have failed before the publish."""
        if failed:
            self._runner.settle(name, begun, failed)
        else:
            await self._runner.run(name, reads.reach(cursor), begun)

    async def _check_value(self, client: CanaryClient, cursor: Cursor) -> None:
        response = expect_200(await client.ask("GET", self._prefix + VALUE))
        found = parse_cursor(response.headers["etag"].strip('"'))
        # The event of another canary may be newer.
        if found.epoch != cursor.epoch or found.offset < cursor.offset:
            raise CanaryFailure("The value is older than the event that was published.")
        orjson.loads(response.body)

    def close(self) -> None:
        """Stop to follow the channel."""
        self._feed.close()
