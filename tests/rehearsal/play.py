"""One rehearsal: the cast enters, faults strike, the cast settles."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.rehearsal.chat import Chatter
from tests.rehearsal.diary import BOOKS, LOG, Diary, Strike
from tests.rehearsal.faults import FAULTS, Scene
from tests.rehearsal.readers import (
    LongPoller,
    ManyPoller,
    OriginReader,
    PlainPoller,
    SseReader,
    WaitingValue,
    seated,
)
from tests.rehearsal.stage import SECRET, Stage, environment
from tests.rehearsal.writers import Writer, publisher

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable

    from tests.deploy.proxies import RunningProxy
    from tests.faults.clients import Reader

# The part of each kind among the clients that read.
SHARES = {
    "plain": 0.15,
    "long": 0.35,
    "value": 0.10,
    "sse": 0.15,
    "many": 0.08,
    "origin": 0.06,
    "grip": 0.05,
    "bosh": 0.06,
}
# The seconds between two events of a channel, on average.
EVERY = 5.0
READERS_OF_A_CHANNEL = 40
RESOURCES = 4
AT_A_TIME = 50
SETTLE_SECONDS = 6.0
# The longest time for all clients to get what there is at the end.
FINISH_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Plan:
    """The size of a run."""

    minutes: float
    clients: int
    faults: tuple[str, ...]
    proxy: str = "nginx"
    before: str = ""
    seed: int = 1
    progress: bool = True


@dataclass(frozen=True, slots=True)
class Run:
    """What a run leaves for the checker and the report."""

    plan: Plan
    cast: dict[str, int]
    diary: Diary
    failures: list[str]
    machine: dict[str, Any]


class Play:
    """A run of a plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.diary = Diary()
        short = plan.minutes < 5
        self.stage = Stage(
            self.diary, proxy=plan.proxy, before=plan.before, seconds=3.0 if short else 15.0
        )
        self.settle = 4.0 if short else 12.0
        self.failures: list[str] = []
        self.cast: dict[str, int] = {}
        self._readers: list[Any] = []
        self._chatters: list[Chatter] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._writing: list[asyncio.Task[None]] = []

    async def run(self) -> Run:
        """Play it to its end."""
        random.seed(self.plan.seed)
        try:
            proxy = await self.stage.start()
            self._say("the site is up")
            await self._enter(proxy)
            self._say(f"{sum(self.cast.values())} clients are connected")
            await self._faults(proxy)
            await self._end()
            return Run(self.plan, self.cast, self.diary, self.failures, environment())
        finally:
            for task in (*self._tasks, *self._writing):
                task.cancel()
            await asyncio.sleep(0.1)
            await asyncio.to_thread(self.stage.close)

    # The cast

    async def _enter(self, proxy: RunningProxy) -> None:
        clients, diary = self.plan.clients, self.diary
        channels = [f"news-{n}" for n in range(max(2, clients // READERS_OF_A_CHANNEL))]
        book = diary.books[LOG]
        kinds: dict[str, tuple[type[Reader], int]] = {
            "plain": (PlainPoller, 1),
            "long": (LongPoller, 1),
            "value": (WaitingValue, 1),
            "sse": (SseReader, 1),
            "many": (ManyPoller, 2),
        }
        for kind, share in SHARES.items():
            count = self.cast[kind] = max(2, round(share * clients))
            for number in range(count):
                name = f"waiting-value-{number}" if kind == "value" else f"{kind}-{number}"
                if kind in kinds:
                    make, wanted = kinds[kind]
                    picked = [channels[(number + n) % len(channels)] for n in range(wanted)]
                    reader: Any = seated(make(book, [], name, picked), proxy, diary, kind)
                elif kind == "bosh":
                    reader = Chatter(proxy, diary, name, EVERY)
                    self._chatters.append(reader)
                else:
                    folder = "orders" if kind == "origin" else "grip"
                    resource = f"/{folder}/{number % RESOURCES}"
                    reader = OriginReader(proxy, diary, name, resource)
                self._readers.append(reader)
        for number, chatter in enumerate(self._chatters):
            chatter.next = self._chatters[(number + 1) % len(self._chatters)]
        count = self.cast["publishers"] = max(2, clients // 100)
        pause = EVERY * count / len(channels)
        publishers = [publisher(proxy, diary, f"p{n}", channels, SECRET) for n in range(count)]
        writers = [
            Writer(proxy, diary, f"/{kind}/{number}", SECRET)
            for kind in ("orders", "grip")
            for number in range(RESOURCES)
        ]
        self.cast["writers"] = len(writers)
        room = asyncio.Semaphore(AT_A_TIME)

        async def begin(reader: Any) -> None:
            async with room:
                if not isinstance(reader, WaitingValue):
                    await self._patiently(reader.begin)

        await asyncio.gather(*map(begin, self._readers))
        self._writing = [self._task(made.run(pause)) for made in publishers]
        self._writing += [self._task(writer.run(EVERY)) for writer in writers]
        self._tasks = [self._task(reader.run()) for reader in self._readers]

    async def _patiently(self, act: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                return await act()
            except OSError:
                await asyncio.sleep(0.2)

    def _task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            self.failures.append(f"a client of the rehearsal failed: {error!r}")

    # The faults

    async def _faults(self, proxy: RunningProxy) -> None:
        begun, total = time.monotonic(), self.plan.minutes * 60
        names = self.plan.faults
        each = total / (len(names) + 1)
        await self._until(begun + each, begun, total, "every day")
        for number, name in enumerate(names):
            await self._strike(name, proxy)
            await self._until(begun + each * (number + 2), begun, total, f"after {name}")

    async def _strike(self, name: str, proxy: RunningProxy) -> None:
        fault, diary = FAULTS[name], self.diary
        strike = Strike(name, diary.now(), ended=float("inf"))
        diary.strikes.append(strike)
        self._say(fault.what)
        for book in BOOKS:
            diary.books[book].fault(name, loses=book in fault.loses)
        try:
            await fault.strike(Scene(self.stage, proxy, strike))
        except Exception as error:
            self.failures.append(f"{name}: {error!r:.1500}")
        for book in BOOKS:
            diary.books[book].heal(name)
        strike.healed = diary.now()
        await asyncio.sleep(self.settle)
        strike.ended = diary.now()

    async def _until(self, end: float, begun: float, total: float, what: str) -> None:
        while (now := time.monotonic()) < end:
            self._bar((now - begun) / total, what)
            await asyncio.sleep(min(5.0, end - now))

    def _bar(self, share: float, what: str) -> None:
        if self.plan.progress:
            done = round(30 * min(1.0, share))
            requests = len(self.diary.exchanges)
            bar = "█" * done + "·" * (30 - done)
            self._say(f"{bar} {share:4.0%} {what}, {requests:,} requests")

    def _say(self, text: str) -> None:
        if self.plan.progress:
            print(f"{self.diary.now():7.1f} s {text}", file=sys.stderr, flush=True)

    # The end

    async def _end(self) -> None:
        """No more changes; every client gets what there is."""
        await _cancel(self._writing)
        for chatter in self._chatters:
            chatter.writes = False
        await asyncio.sleep(SETTLE_SECONDS)
        await _cancel(self._tasks)
        room = asyncio.Semaphore(AT_A_TIME)

        async def finish(reader: Any) -> None:
            async with room:
                await self._patiently(reader.finish)
                reader.session.drop()

        rest = [reader for reader in self._readers if not isinstance(reader, Chatter)]
        finishing = {asyncio.ensure_future(finish(reader)): reader for reader in rest}
        _, late = await asyncio.wait(finishing, timeout=FINISH_SECONDS)
        for task in late:
            task.cancel()
            self.failures.append(f"{finishing[task]} did not get what there is at the end")
        for chatter in self._chatters:
            chatter.drop()
        for book in BOOKS:
            self.diary.books[book].write("end")
        self._say("the clients have finished")


async def _cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
    listed = list(tasks)
    for task in listed:
        task.cancel()
    await asyncio.gather(*listed, return_exceptions=True)
