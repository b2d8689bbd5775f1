"""Load on proxies while hubs behind them restart or are killed, or while the proxies reload.

The clients repeat nothing, so each error counts; as any library of HTTP, they do not send on a
connection that the other side has closed. Only where a hub is killed they repeat a request once.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.serving import events_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.deploy.proxies import RunningProxy
    from tests.faults.nodes import Node
    from tests.wire import Client, Response

# Each publisher's pause between two events.
PAUSE_SECONDS = 0.1
# The pause between two hubs: the hub that came back must be in use again.
BETWEEN_SECONDS = 2.0
# So long a killed hub is away: longer than a health check needs to notice it.
AWAY_SECONDS = 5.0
WAIT = 5


@dataclass(frozen=True, slots=True)
class Clients:
    """The number of clients of each proxy."""

    pollers: int = 6
    publishers: int = 2
    repeats: bool = False
    """Whether they repeat a request that failed, once and after the pause."""


@dataclass
class Tally:
    """What the clients of one proxy saw."""

    proxy: str
    requests: int = 0
    events: int = 0
    errors: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    """The requests that failed twice, if the clients repeat."""

    def kinds(self) -> dict[str, int]:
        """How often each kind of error happened."""
        return dict(Counter(" ".join(error.split()[:2]) for error in self.errors))

    def __str__(self) -> str:
        return (
            f"{self.proxy}: {self.requests} requests, {self.events} events,"
            f" {len(self.errors)} errors" + (f", {len(self.lost)} twice" if self.lost else "")
        )


async def restart_under_load(
    nodes: list[Node], proxies: list[RunningProxy], clients: Clients | None = None
) -> list[Tally]:
    """Restart both hubs while every proxy has pollers and publishers."""

    async def restart() -> None:
        for node in nodes:
            await node.leave()
            await node.start()
            await node.ready()
            await asyncio.sleep(BETWEEN_SECONDS)

    return await under_load(proxies, restart, clients)


async def kill_under_load(
    nodes: list[Node], proxies: list[RunningProxy], clients: Clients
) -> list[Tally]:
    """Kill the first hub, which is away for a while, while every proxy has clients."""

    async def kill() -> None:
        await nodes[0].kill()
        await asyncio.sleep(AWAY_SECONDS)
        await nodes[0].start()
        await nodes[0].ready()
        await asyncio.sleep(BETWEEN_SECONDS)

    return await under_load(proxies, kill, clients)


async def under_load(
    proxies: list[RunningProxy],
    happen: Callable[[], Awaitable[object]],
    clients: Clients | None = None,
) -> list[Tally]:
    """Let something happen while every proxy has pollers and publishers."""
    clients = clients or Clients()
    tallies = [Tally(proxy.name) for proxy in proxies]
    ending = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for proxy, tally in zip(proxies, tallies, strict=True):
            load = _Load(proxy, tally, ending, repeats=clients.repeats)
            for number in range(clients.pollers):
                group.create_task(load.poll(f"rolling-{proxy.name}-{number % clients.publishers}"))
            for number in range(clients.publishers):
                group.create_task(load.publish(f"rolling-{proxy.name}-{number}"))
        try:
            await asyncio.sleep(BETWEEN_SECONDS)
            await happen()
        finally:
            ending.set()
    return tallies


class _Load:
    def __init__(
        self, proxy: RunningProxy, tally: Tally, ending: asyncio.Event, *, repeats: bool
    ) -> None:
        self._proxy = proxy
        self._tally = tally
        self._ending = ending
        self._repeats = repeats

    async def poll(self, channel: str) -> None:
        """Read a channel from its beginning, wait after wait, with the retry hint of the hub."""
        cursor, connection, last = "earliest", _Kept(self._proxy), 0
        while not self._ending.is_set():
            target = f"{events_of(channel)}?since={cursor}&wait={WAIT}"
            answer = await self._ask(connection, "GET", target)
            if answer is None:
                continue
            page = answer.json()
            cursor = page["cursor"]
            self._tally.events += len(page["events"])
            for event in page["events"]:
                if event["offset"] != last + 1:
                    self._tally.errors.append(f"order: {event['offset']} after {last}")
                last = event["offset"]
            if not page["events"]:
                await asyncio.sleep(min(1.0, page.get("retry_ms", 0) / 1000))
        await connection.leave()

    async def publish(self, channel: str) -> None:
        connection, number = _Kept(self._proxy), 0
        while not self._ending.is_set():
            number += 1
            body = json.dumps(number).encode()
            await self._ask(connection, "POST", events_of(channel), body, key=f"{number}")
            await asyncio.sleep(PAUSE_SECONDS)
        await connection.leave()

    async def _ask(
        self, connection: _Kept, method: str, target: str, body: bytes = b"", key: str = ""
    ) -> Response | None:
        for repeated in range(1 + self._repeats):
            answer = await self._ask_once(connection, method, target, body, key)
            if answer is not None:
                return answer
            if repeated:
                self._tally.lost.append(self._tally.errors[-1])
            await asyncio.sleep(PAUSE_SECONDS)
        return None

    async def _ask_once(
        self, connection: _Kept, method: str, target: str, body: bytes, key: str
    ) -> Response | None:
        self._tally.requests += 1
        try:
            client = await connection.get()
            client.send(method, target, {"idempotency-key": key} if key else None, body)
            answer = await client.receive(30)
        except Exception as error:
            self._tally.errors.append(f"{method}: {error!r}")
            await connection.leave()
            return None
        if answer.headers.get("connection") == "close":
            await connection.leave()
        if answer.status != 200:
            self._tally.errors.append(f"{method}: {answer.status} {answer.body[:200]!r}")
            return None
        return answer


class _Kept:
    """A connection to a proxy that stays open between requests."""

    def __init__(self, proxy: RunningProxy) -> None:
        self._proxy = proxy
        self._client: Client | None = None

    async def get(self) -> Client:
        if self._client is not None and self._client.reader.at_eof():
            await self.leave()
        if self._client is None:
            self._client = await self._proxy.connect()
        return self._client

    async def leave(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.leave()
