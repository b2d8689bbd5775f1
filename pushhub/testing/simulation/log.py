"""One log that several nodes share, and the faults between a node and it.

`SharedLog` is the server: it keeps the events. `View` is one node's store: it reads and appends
with a latency, receives events through a feed of its own, and is never certain of silence. A
view fails, answers late, or loses its feed; the log loses its newest events, as a replica does
that is promoted too early, and has a new epoch then.
"""

from __future__ import annotations

import asyncio
import contextvars
from typing import TYPE_CHECKING

from pushhub.log.channel import PRIVATE_MARK
from pushhub.store.base import Appended, Mismatch, StoreUnavailable
from pushhub.store.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.log.cursor import Cursor, Since
    from pushhub.log.event import Event
    from pushhub.log.read import Page, Read
    from pushhub.store.base import Append, ChannelInfo, Listener, Outcome

# Timers of one moment run in no order; what must keep its order is this far apart.
APART_SECONDS = 1e-6
# The sessions that have left a node (`xmpp/cluster/gc.py`).
DEPARTURES = "$xmpp:left:"


class Log(MemoryStore):
    """A log in memory whose state the oracle can read."""

    def __init__(self, clock: Callable[[], float], draw: Callable[[], str]) -> None:
        super().__init__(clock)
        self._draw = draw

    async def open(self, listener: Listener) -> None:
        await super().open(listener)
        self._epoch = self._draw()

    def span(self, channel: str) -> tuple[str, int, int]:
        """A channel's present epoch, its oldest offset, and its last one."""
        span = self._fresh(channel).span(self._epoch)
        return span.epoch, span.oldest, span.top

    def find(self, channel: str, id: str) -> str | None:
        """The cursor of the event whose data has that id."""
        data = b'{"id":"%b"}' % id.encode()
        for event in self._fresh(channel).events:
            if event.data == data:
                return str(event.cursor)
        return None

    @property
    def registers(self) -> dict[str, int]:
        """The private channels that have events, with how many."""
        return {
            name: len(self._fresh(name).events)
            for name in self._channels
            if name.startswith("$") and self._fresh(name).events
        }


class SharedLog(Log):
    """The log that all views read and append to."""

    certain = False

    def __init__(self, clock: Callable[[], float], draw: Callable[[], str]) -> None:
        super().__init__(clock, draw)
        self.views: list[View] = []
        self.restorations: list[float] = []
        """When the feed of a node came back."""
        self._listener = self
        self._epoch = draw()

    def wake(self, event: Event) -> None:
        """Send the event to every node that follows its channel."""
        for view in self.views:
            if event.channel in view.subscribed:
                view.tell(view.woken, event)

    def forget(self, channel: str) -> None:
        """Notify every node that follows a deleted channel."""
        for view in self.views:
            if channel in view.subscribed:
                view.tell(view.forgotten, channel)

    def receipt(self, channel: str, cursor: Cursor | None) -> None:
        """Not called: views notify their own nodes."""

    def lost(self) -> None:
        """Not called: views lose their feeds, the log does not."""

    def restored(self) -> None:
        """Not called, as `lost`."""

    def lose(self, events: int) -> int:
        """Lose the newest events of every channel, and begin a new epoch. How many were lost."""
        lost = 0
        for name, found in self._channels.items():
            if name.startswith(PRIVATE_MARK) and found.retention.events == 1:
                # A register goes back to an earlier value, which is not kept here.
                continue
            if name.startswith(DEPARTURES):
                # It names registers. A log loses its end, so it cannot lose the names alone.
                continue
            for _ in range(min(events, len(found.events))):
                found.events.pop()
                found.top -= 1
                lost += 1
        self._keys.clear()
        self._epoch = self._draw()
        return lost


class View:
    """One node's connection to the log. `feed_seconds` draws the delay of a feed message."""

    certain = False

    def __init__(
        self, log: SharedLog, latency: Callable[[], float], feed_seconds: Callable[[], float]
    ) -> None:
        self.log = log
        self.subscribed: set[str] = set()
        # The number of faults at one time: commands that fail, and feed losses.
        self._failures = self._losses = 0
        self.drops = 0
        """How many of the next events the feed loses, without any other fault."""
        self.dropped_at = 0.0
        """When the feed last lost a single event."""
        self.dropped: set[tuple[str, int]] = set()
        """Channel and offset of each of them."""
        self._latency = latency
        self._feed_seconds = feed_seconds
        self._fed_until = self._sent_until = self._replied_until = 0.0
        self._listener: Listener | None = None
        self._epoch = log.epoch
        self._loop: asyncio.AbstractEventLoop
        # Of the node's process: a message that another node caused arrives there.
        self._context = contextvars.copy_context()

    async def open(self, listener: Listener) -> None:
        if self.failing:
            raise StoreUnavailable("The log cannot be reached.")
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._context = contextvars.copy_context()
        self._epoch = self.log.epoch
        self.log.views.append(self)

    async def close(self) -> None:
        self._listener = None
        if self in self.log.views:
            self.log.views.remove(self)

    @property
    def epoch(self) -> str:
        return self._epoch

    @property
    def ready(self) -> bool:
        return self._listener is not None and not self.failing

    def append(self, appends: list[Append], done: Callable[[list[Outcome]], None]) -> None:
        # One connection: commands arrive in the order in which they were sent, and so do replies.
        due = self._loop.time() + self._latency()
        self._sent_until = max(self._sent_until + APART_SECONDS, due)
        self._loop.call_at(self._sent_until, self._append, appends, done)

    def _append(self, appends: list[Append], done: Callable[[list[Outcome]], None]) -> None:
        if self.failing or self._listener is None:
            refused: list[Outcome] = [StoreUnavailable("The log cannot be reached.")] * len(appends)
            done(refused)
            return
        self.log.append(appends, lambda outcomes: self._reply(appends, done, outcomes))

    def _reply(
        self,
        appends: list[Append],
        done: Callable[[list[Outcome]], None],
        outcomes: list[Outcome],
    ) -> None:
        due = self._loop.time() + self._latency()
        self._replied_until = max(self._replied_until + APART_SECONDS, due)
        self._loop.call_at(self._replied_until, self._acknowledge, appends, done, outcomes)

    def _acknowledge(
        self,
        appends: list[Append],
        done: Callable[[list[Outcome]], None],
        outcomes: list[Outcome],
    ) -> None:
        for append, outcome in zip(appends, outcomes, strict=True):
            self._receipt(append.channel, outcome)
        done(outcomes)

    def _receipt(self, channel: str, outcome: Outcome) -> None:
        """Notify the node of the end of the log by an outcome, before the feed does."""
        cursor = None
        if isinstance(outcome, Appended):
            cursor = outcome.cursor
            if not outcome.duplicate:
                self._epoch = cursor.epoch
        elif isinstance(outcome, Mismatch):
            cursor = outcome.last
        if self._listener is not None and cursor is not None and cursor.epoch == self._epoch:
            self._listener.receipt(channel, cursor)

    async def read(self, channel: str, since: Since, limit: int) -> Read:
        await self._reach()
        read = await self.log.read(channel, since, limit)
        await asyncio.sleep(self._latency())
        return read

    async def tail(self, channel: str, limit: int) -> Page:
        await self._reach()
        if not self.feeding:
            # As with Redis: without a feed there is no tail.
            raise StoreUnavailable("The feed is away.")
        self.subscribed.add(channel)
        page = await self.log.tail(channel, limit)
        # The reply follows what the feed said before, on a connection of its own.
        await asyncio.sleep(self._latency())
        return page

    def leave(self, channel: str) -> None:
        self.subscribed.discard(channel)

    async def time(self) -> float:
        await self._reach()
        return await self.log.time()

    async def count(self) -> int:
        await self._reach()
        return await self.log.count()

    async def retained(self, namespace: str) -> int:
        await self._reach()
        return await self.log.retained(namespace)

    async def delete(self, channel: str) -> bool:
        await self._reach()
        deleted = await self.log.delete(channel)
        if deleted and self._listener is not None:
            self._listener.receipt(channel, None)
        return deleted

    async def channels(self, prefix: str, after: str, limit: int) -> list[ChannelInfo]:
        await self._reach()
        return await self.log.channels(prefix, after, limit)

    async def _reach(self) -> None:
        await asyncio.sleep(self._latency())
        if self.failing or self._listener is None:
            raise StoreUnavailable("The log cannot be reached.")

    # The feed

    def tell(self, what: Callable[..., None], *args: object) -> None:
        """Deliver a feed message, late and in order, if the feed is connected."""
        if self.feeding:
            due = self._loop.time() + self._feed_seconds()
            self._fed_until = max(self._fed_until + APART_SECONDS, due)
            message = (what, args, self._broken)
            self._loop.call_at(self._fed_until, self._told, *message, context=self._context)

    _broken = 0

    def _told(self, what: Callable[..., None], args: tuple[object, ...], broken: int) -> None:
        # Messages in flight are lost with the feed.
        if self.feeding and broken == self._broken:
            what(*args)

    def woken(self, event: Event) -> None:
        if self.drops and not event.channel.startswith("$"):
            self.drops -= 1
            self.dropped_at = self._loop.time()
            self.dropped.add((event.channel, event.offset))
        elif self._listener is not None:
            self._listener.wake(event)

    def forgotten(self, channel: str) -> None:
        if self._listener is not None:
            self._listener.forget(channel)

    @property
    def failing(self) -> bool:
        """Whether every command fails."""
        return self._failures > 0

    @property
    def feeding(self) -> bool:
        """Whether the feed is connected."""
        return self._losses == 0

    def fail(self) -> None:
        """The log cannot be reached; the feed is lost, too."""
        self._failures += 1
        self.lose_feed()

    def recover(self) -> None:
        """The log can be reached again, with its feed, unless another fault lasts."""
        self._failures -= 1
        self.restore_feed()

    def lose_feed(self) -> None:
        """The feed's connection breaks, and the node notices."""
        self._losses += 1
        if self._losses == 1 and self._listener is not None:
            self._broken += 1
            self.subscribed.clear()
            self._context.copy().run(self._listener.lost)

    def restore_feed(self) -> None:
        """The feed's connection is there again, unless another fault keeps it away."""
        self._losses -= 1
        if self.feeding and self._listener is not None:
            self._epoch = self.log.epoch
            self.log.restorations.append(self._loop.time())
            self._context.copy().run(self._listener.restored)

    def __repr__(self) -> str:
        return f"<View {len(self.subscribed)} subscribed, failing={self.failing}>"
