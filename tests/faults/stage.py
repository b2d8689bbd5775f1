"""One run: servers, nodes, clients, a nemesis that strikes, and the verdict."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pushhub.testing.history import HistoryFinding, HistoryReport, check
from tests.faults.book import Book, place_of
from tests.faults.clients import (
    FeedReader,
    ManyReader,
    Publisher,
    Reader,
    Sleeper,
    StreamReader,
    ValueReader,
)
from tests.faults.nodes import Node
from tests.proxy import Proxy
from tests.redis_servers import Kind, Rack

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.redis_servers import RedisServer

CHANNELS = ["busy-a", "busy-b", "busy-c", "quiet"]
# Published to by everybody, and by one who takes a second for each event.
BUSY, QUIET = CHANNELS[:3], CHANNELS[3:]
PUBLISHERS = 4
PUBLISH_SECONDS, QUIET_SECONDS = 0.08, 0.8
# How long readers may take for the first event after a heal, and at the end for what is left.
RECOVER_SECONDS, SETTLE_SECONDS = 20.0, 30.0
# How long a node may take to notice that it does not hear: a PING every 2 s, 2 s for its answer.
# Until then what it remembers of a channel may not be the end, and a reader that keeps polling gets
# the rest later.
UNHEARD_SECONDS = 5.0


@dataclass(frozen=True)
class Scenario:
    """A fault: how its servers are set up, what the nemesis does, and what that may cost."""

    name: str
    what: str
    strike: Callable[[Stage], Awaitable[None]]
    prepare: Callable[[Stage], Awaitable[str]]
    """Starts the servers; the address of the store."""
    loses: bool = False
    """Whether acknowledged events may be lost, so that a gap may be told."""
    nodes: int = 2
    settings: dict[str, Any] = field(default_factory=dict)
    leaves_well: bool = True
    """Whether whoever is held gets a whole answer."""
    recovers_in: float = 5.0
    """The most seconds from the heal to every reader's first new event."""


class Stage:
    """What a scenario's functions work with."""

    def __init__(self, scenario: Scenario, kind: Kind, *, long: bool) -> None:
        self.scenario = scenario
        self.kind = kind
        self.long = long
        self.book = Book()
        # How often the nemesis has struck.
        self.strikes = 0
        # Acknowledged events that are not in the log at the end.
        self.missing = 0
        # Seconds that a process takes to start on this machine, where clients wait for one.
        self.started_in = 0.0
        # Whether nothing is broken.
        self._sound = asyncio.Event()
        self.rack = Rack()
        self.redis: list[RedisServer] = []
        self.sentinels: list[RedisServer] = []
        self.proxies: list[Proxy] = []
        self.nodes: list[Node] = []
        self.publishers: list[Publisher] = []
        self.readers: list[Reader] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._publishing: list[asyncio.Task[None]] = []

    # What scenarios ask for

    async def start_redis(self, options: dict[str, Any]) -> RedisServer:
        server = await asyncio.to_thread(lambda: self.rack.start(self.kind, **options))
        self.redis.append(server)
        return server

    async def start_sentinel(self) -> RedisServer:
        return await asyncio.to_thread(lambda: self.rack.start(self.kind, sentinel=True))

    async def start_proxy(self, target: int) -> Proxy:
        proxy = await Proxy(target).start()
        self.proxies.append(proxy)
        return proxy

    def fault(self) -> None:
        """From now on something is broken."""
        self._sound.clear()
        self.book.fault(self.scenario.name, loses=self.scenario.loses)

    def heal(self) -> None:
        """All is as it should be again, as far as the nemesis is concerned."""
        self._healed = self.book.heal(self.scenario.name)
        self._sound.set()

    def measures(self) -> str:
        """What is seen beside the history."""
        book = self.book
        refusals = sorted(book.refusals)
        quickly = f", the slowest in {refusals[-1]:.3f} s" if refusals else ""
        return (
            f"struck {self.strikes} times, {self.missing} acknowledged events gone from the log;"
            f" {len(refusals)} publishes refused with 503{quickly};"
            f" holds answered at most {max(0.0, book.overdue):.3f} s after their wait"
        )

    # The run

    async def run(self, seconds: float) -> HistoryReport:
        """Strike at least once, and for `seconds`; the verdict."""
        try:
            url = await self.scenario.prepare(self)
            settings = self.scenario.settings
            self.nodes += [Node(url, **settings) for _ in range(self.scenario.nodes)]
            # All of them, before an error of one: what has been started can be ended.
            starts = (node.start() for node in self.nodes)
            for started in await asyncio.gather(*starts, return_exceptions=True):
                if isinstance(started, BaseException):
                    raise started
            await self._enter()
            self._healed = 0.0
            self._sound.set()
            await self._recovered()
            end = self.book.now() + seconds
            while True:
                await self.scenario.strike(self)
                self.strikes += 1
                await self._recovered()
                if self.book.now() >= end:
                    break
            await self._settle()
            return await self._verdict()
        finally:
            await self._leave()

    async def _enter(self) -> None:
        book, nodes = self.book, self.nodes
        busy = [Publisher(book, nodes, f"p{n}", BUSY) for n in range(PUBLISHERS)]
        self.publishers = [*busy, Publisher(book, nodes, "slow", QUIET)]
        kinds: list[tuple[type[Reader], str, list[str]]] = [
            *((FeedReader, f"feed-{channel}", [channel]) for channel in CHANNELS),
            (FeedReader, "feed-busy-a-skips", ["busy-a"]),
            (FeedReader, "late-busy-a", ["busy-a"]),
            (FeedReader, "late-busy-b-skips", ["busy-b"]),
            (FeedReader, "roaming-busy-b", ["busy-b"]),
            (ManyReader, "many", CHANNELS),
            (ManyReader, "roaming-many", CHANNELS),
            (StreamReader, "stream-busy-c", ["busy-c"]),
            (StreamReader, "stream-quiet", ["quiet"]),
            (ValueReader, "plain-value", ["busy-a"]),
            (ValueReader, "waiting-value", ["quiet"]),
        ]
        self.readers = [kind(book, nodes, name, names) for kind, name, names in kinds]
        self.readers += [
            Sleeper(book, nodes, f"sleeper-{channel}", [channel], self._sound)
            for channel in ("busy-a", "quiet")
        ]
        await asyncio.gather(
            *(reader.begin() for reader in self.readers if not isinstance(reader, ValueReader))
        )
        self._publishing = [
            asyncio.create_task(
                publisher.run(PUBLISH_SECONDS if publisher in busy else QUIET_SECONDS)
            )
            for publisher in self.publishers
        ]
        self._tasks = [asyncio.create_task(reader.run()) for reader in self.readers]

    async def _recovered(self) -> None:
        """Wait until every reader has an event that was published after the heal."""
        trails = [
            (reader.name, channel)
            for reader in self.readers
            if not isinstance(reader, ValueReader)
            for channel in reader.cursors
        ]
        end = self.book.now() + RECOVER_SECONDS
        while self.book.now() < end:
            self._look_at_tasks()
            newest = self.book.newest
            if all(newest.get(trail, -1.0) > self._healed for trail in trails):
                return
            await asyncio.sleep(0.01)
        late = [trail for trail in trails if newest.get(trail, -1.0) <= self._healed]
        self.book.complaints.append(f"no news for {late} {RECOVER_SECONDS} s after the heal")

    def _look_at_tasks(self) -> None:
        for task in (*self._tasks, *self._publishing):
            if task.done():
                task.result()

    async def _settle(self) -> None:
        """No more publishes; every reader gets what there is."""
        await self._cancel(self._publishing)
        # What is on its way arrives; who waits in vain is no longer waited for.
        await asyncio.sleep(0.2)
        await self._cancel(self._tasks)
        end = self.book.now() + UNHEARD_SECONDS
        async with asyncio.timeout(SETTLE_SECONDS):
            while True:
                await asyncio.gather(*(self._finish(reader) for reader in self.readers))
                if self.book.now() > end or not self._lacks():
                    break
        self.book.write("end")

    def _lacks(self) -> bool:
        """Whether some reader still lacks something, if this were the end."""
        return check([*self.book.records, {"type": "end"}]).lost > 0

    async def _finish(self, reader: Reader) -> None:
        while True:
            try:
                return await reader.finish()
            except OSError:
                await asyncio.sleep(0.05)

    async def _cancel(self, tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result
        tasks.clear()

    def promptly(self) -> HistoryReport:
        """The history without the readers that are away on purpose: the times are the hub's own."""
        away = [
            reader.name for reader in self.readers if reader.name.startswith(("late", "sleeper"))
        ]
        return check(line for line in self.book.records if line.get("reader") not in away)

    def at_last(self) -> HistoryReport:
        """The history with its last heal alone."""
        records = self.book.records
        last = max((n for n, line in enumerate(records) if line["type"] == "heal"), default=0)
        return check(line for n, line in enumerate(records) if line["type"] != "heal" or n == last)

    async def _verdict(self) -> HistoryReport:
        report = check(self.book.records)
        torn = sum(reader.session.torn for reader in self.readers)
        if torn and self.scenario.leaves_well:
            self.book.complaints.append(f"{torn} requests were held and got no whole answer")
        for text in self.book.complaints:
            report.findings.append(HistoryFinding("complaint", "", "", text))
        for text in await self._broken_acks():
            report.findings.append(HistoryFinding("ack", "", "", text))
        return report

    async def _broken_acks(self) -> list[str]:
        """Events that were told to be on replicas or on disk, and are not in the log any more."""
        broken = []
        for channel in CHANNELS:
            kept = await self._log(channel)
            for record in self.book.records:
                if record["type"] != "ok" or record["channel"] != channel:
                    continue
                if (record["epoch"], record["offset"], record["id"]) in kept:
                    continue
                self.missing += 1
                if record["reached"] in ("replicated", "fsync"):
                    broken.append(f"{record['id']} had reached {record['reached']}, and is lost")
        return broken

    async def _log(self, channel: str) -> set[tuple[str, int, str]]:
        """Birth epoch, offset and content of all events that the channel keeps."""
        kept: set[tuple[str, int, str]] = set()
        cursor = "earliest"
        while True:
            target = f"/v1/channels/{channel}/events?since={cursor}&limit=1000"
            page = (await self.nodes[0].get(target)).json()
            kept |= {place_of(event) for event in page["events"]}
            cursor = page["cursor"]
            if page.get("up_to_date"):
                return kept

    async def _leave(self) -> None:
        for task in (*self._tasks, *self._publishing):
            task.cancel()
        sessions = [reader.session for reader in self.readers]
        for session in sessions + [publisher.session for publisher in self.publishers]:
            session.drop()
        # Tasks and transports end in a turn of the loop.
        await asyncio.sleep(0.02)
        try:
            for node in self.nodes:
                await asyncio.to_thread(node.close)
        finally:
            for proxy in self.proxies:
                await proxy.close()
            await asyncio.to_thread(self.rack.close)
