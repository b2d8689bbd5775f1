"""Reloads of a proxy while requests wait behind it."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.deploy import rolling
from tests.serving import events_of, fresh
from tests.wire import EventStream

if TYPE_CHECKING:
    from tests.deploy.proxies import RunningProxy
    from tests.serving import Server

# After so long the old process or configuration has handed over, and the waits are still held.
AFTER_SECONDS = 5.0
WAIT = 40


@dataclass
class Outcome:
    """What became of a reload."""

    tally: rolling.Tally
    waits: Counter[str] = field(default_factory=Counter)
    streams: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        return f"{self.tally}; waits {dict(self.waits)}; streams {dict(self.streams)}"


async def reload_under_load(
    running: RunningProxy, hub: Server, clients: rolling.Clients | None = None, *, held: int = 10
) -> Outcome:
    """Reload a proxy under load. Waits and streams that began before it get an event after it."""
    channel = fresh("reload")
    waits, streams = Counter[str](), Counter[str]()

    async def wait() -> None:
        async with await running.connect() as client:
            client.send("GET", f"{events_of(channel)}?since=now&wait={WAIT}")
            try:
                answer = await client.receive(2 * WAIT)
            except Exception as error:
                waits[f"cut: {error!r}"] += 1
                return
        if answer.status != 200:
            waits[f"status {answer.status}"] += 1
        else:
            waits["event" if answer.json()["events"] else "empty"] += 1

    async def read() -> None:
        async with await running.connect() as client:
            client.send("GET", f"{events_of(channel)}?since=now", {"accept": "text/event-stream"})
            status, _ = await client.head()
            assert status == 200
            stream = EventStream(client)
            await stream.next()
            try:
                streams["event" if (await stream.next(2 * WAIT)).data is not None else "other"] += 1
            except Exception as error:
                streams[f"cut: {error!r}"] += 1

    async def happen() -> None:
        await hub.publish(channel, "first")
        async with asyncio.TaskGroup() as group:
            for _ in range(held):
                group.create_task(wait())
                group.create_task(read())
            async with asyncio.timeout(WAIT / 2):
                while await _held(hub, channel) < 2 * held:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            await asyncio.to_thread(running.reload)
            await asyncio.sleep(AFTER_SECONDS)
            await hub.publish(channel, "second")

    (tally,) = await rolling.under_load([running], happen, clients)
    return Outcome(tally, waits, streams)


async def _held(hub: Server, channel: str) -> int:
    """The number of waits and streams of a channel."""
    listed = (await hub.get("/v1/channels?limit=1000")).json()["channels"]
    return sum(one["holds"] for one in listed if one["channel"] == channel)
