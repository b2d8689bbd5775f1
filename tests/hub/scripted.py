"""A hub to look into, a store whose reads wait until a test lets them go, and a driver that notes.

The store is the one in memory, and is what the hub is tested with: only its reads take time.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson

from pushhub.http.response import Part, Response
from pushhub.hub.channel_hold import ChannelHold
from pushhub.hub.hold import Hold
from pushhub.hub.hub import Hub
from pushhub.hub.stream import EventStream
from pushhub.log.cursor import Cursor, Since, Start
from pushhub.log.event import Draft
from pushhub.log.read import Page, Read
from pushhub.polls.base import ChannelRead, Poll
from pushhub.polls.feed import FeedPoll
from pushhub.polls.multi import MultiPoll
from pushhub.polls.value import ValuePoll
from pushhub.store.base import Append, Retention, StoreUnavailable
from pushhub.store.memory import MemoryStore


class ScriptedStore(MemoryStore):
    """While `slow`, a read looks at the log at once, but is answered when `let_go` is called."""

    def __init__(self) -> None:
        super().__init__()
        self.slow = False
        self.failing = False
        self.reads = 0
        self._waiting: list[asyncio.Future[None]] = []

    async def read(self, channel: str, since: Since, limit: int) -> Read:
        found = await super().read(channel, since, limit)
        await self._delay()
        return found

    async def tail(self, channel: str, limit: int) -> Page:
        found = await super().tail(channel, limit)
        await self._delay()
        return found

    async def _delay(self) -> None:
        self.reads += 1
        if self.slow:
            waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            await waiting
        if self.failing:
            raise StoreUnavailable("The test wants it so.")

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    async def let_go(self, count: int | None = None) -> None:
        """Answer the oldest reads that wait, and let everything happen that follows."""
        going, self._waiting = self._waiting[:count], self._waiting[len(self._waiting[:count]) :]
        for waiting in going:
            waiting.set_result(None)
        await settled()


class Recorder:
    """A driver that notes what it is given."""

    def __init__(self) -> None:
        self.replies: list[Response | Part | EventStream] = []
        self._written = asyncio.Event()

    def deliver(self, reply: Response | Part | EventStream) -> None:
        self.replies.append(reply)
        self._written.set()

    async def written(self) -> None:
        """Wait for a reply."""
        await self._written.wait()

    @property
    def response(self) -> Response:
        (reply,) = self.replies
        assert isinstance(reply, Response)
        return reply

    @property
    def document(self) -> Any:
        return orjson.loads(self.response.body)

    @property
    def data(self) -> list[Any]:
        """The data of the events in the answer."""
        return [event["data"] for event in self.document["events"]]

    def __bool__(self) -> bool:
        return bool(self.replies)


@asynccontextmanager
async def opened(store: MemoryStore | None = None, **options: Any) -> AsyncIterator[Hub]:
    """A hub that runs, whose waits are as long as they are granted."""
    options.setdefault("uniform", lambda low, high: high)
    hub = Hub(store or ScriptedStore(), **options)
    await hub.open()
    try:
        yield hub
    finally:
        await hub.close()


async def settled() -> None:
    """Let everything happen that can happen now."""
    for _ in range(10):
        await asyncio.sleep(0)


def ask(hub: Hub, poll: Poll) -> Recorder:
    """Send a poll; the recorder has its answer, now or when it comes."""
    recorder = Recorder()
    outcome = hub.hold(poll)
    if isinstance(outcome, Hold):
        outcome.attach(recorder)
    else:
        recorder.deliver(outcome)
    return recorder


def park(hub: Hub, poll: Poll) -> tuple[ChannelHold, Recorder]:
    """Send a poll that must be held."""
    recorder = Recorder()
    hold = hub.hold(poll)
    assert isinstance(hold, ChannelHold)
    hold.attach(recorder)
    return hold, recorder


def publish(hub: Hub, channel: str, *data: Any, events: int = 1000) -> None:
    """Append events, one after the other in one call."""
    retention = Retention(events=events, age=None)
    appends = [Append(channel, Draft(orjson.dumps(item)), retention) for item in data]
    hub.publish(appends, lambda outcomes: None)


def feed(since: Since = Start.NOW, wait: int | None = 30, channel: str = "a") -> FeedPoll:
    return FeedPoll(channel, since, 100, wait)


def value(*tags: str, wait: int | None = 30, channel: str = "a") -> ValuePoll:
    return ValuePoll(channel, frozenset(tags), wait)


def many(*channels: str, since: Since = Start.NOW, wait: int | None = 30) -> MultiPoll:
    return MultiPoll(tuple(ChannelRead(channel, since, 100) for channel in channels), 100, wait)


def cursor(hub: Hub, offset: int) -> Cursor:
    return Cursor(hub.store.epoch, offset)
