"""Reads of the store: one read serves all polls that need it at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

from pushhub.hub.tail import MAX_TAIL_EVENTS
from pushhub.hub.tail_read import TailRead
from pushhub.store.base import StoreError
from pushhub.tasks import TaskSet

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from pushhub.http.response import Reply
    from pushhub.hub.channel import Channel
    from pushhub.hub.channels import ChannelTable
    from pushhub.hub.feed_monitor import FeedMonitor
    from pushhub.hub.health import Health
    from pushhub.hub.stats import Stats
    from pushhub.log.read import Read
    from pushhub.polls.base import ChannelRead, Poll
    from pushhub.store.base import Store

ReadCallback = Callable[["Read | StoreError"], None]


class StoreReads:
    """Shared reads under way. Each is one short task, for any number of waiting polls.

    `outdated` reads the log for all holds of a channel whose tail missed events.
    """

    __slots__ = (
        "_callbacks",
        "_channels",
        "_feed_monitor",
        "_health",
        "_outdated",
        "_replies",
        "_stats",
        "_store",
        "_tasks",
    )

    def __init__(
        self,
        store: Store,
        channels: ChannelTable,
        feed_monitor: FeedMonitor,
        stats: Stats,
        health: Health,
        outdated: Callable[[Channel], None],
    ) -> None:
        self._channels = channels
        self._feed_monitor = feed_monitor
        self._outdated = outdated
        self._health = health
        self._store = store
        self._stats = stats
        self._callbacks: dict[Hashable, list[ReadCallback]] = {}
        self._tasks = TaskSet()
        # While the callbacks of a read run: its replies, by the variant of the polls. Each keeps
        # its read alive, so that no other object can get the same identity.
        self._replies: dict[Hashable, tuple[Read, Reply | None]] | None = None

    def load_tail(self, channel: Channel, done: Callable[[StoreError | None], None]) -> None:
        """Load a channel's tail from the store; `done` gets the error, or None."""
        TailRead(self, self._channels, self._stats, channel, done).start()

    async def loaded(self, channel: Channel) -> StoreError | None:
        """Load a channel's tail, and wait for it: the error, or None."""
        ended: asyncio.Future[StoreError | None] = asyncio.get_running_loop().create_future()

        def done(error: StoreError | None) -> None:
            if not ended.done():
                ended.set_result(error)

        self.load_tail(channel, done)
        return await ended

    def events(self, channel_read: ChannelRead, callback: ReadCallback) -> None:
        """Read from the store what a tail does not hold."""
        channel = self._channels[channel_read.channel]
        if channel.due is not None and self._feed_monitor.is_overdue(channel):
            self._stats.repaired += 1
            self._outdated(channel)
        tail = channel.tail
        # A reader that knows of an event, or of a delete, shares no read that may have begun before
        # it.
        known = (tail, tail.cursor if tail else None, channel.due, channel_read.tags)
        key = (channel_read.channel, channel_read.since, channel_read.limit, known)
        if self._first(key, callback):
            self._run(
                key, self._store.read(channel_read.channel, channel_read.since, channel_read.limit)
            )

    def tail(self, channel: Channel, callback: ReadCallback) -> None:
        """Read the end of a channel's log. Events that arrive meanwhile are kept as `early`."""
        if self._first(channel, callback):
            channel.early = []
            self._run(channel, self._store.tail(channel.name, MAX_TAIL_EVENTS))

    def is_loading(self, channel: Channel) -> bool:
        """Whether the end of this channel's log is being read."""
        return channel in self._callbacks

    def _first(self, key: Hashable, callback: ReadCallback) -> bool:
        callbacks = self._callbacks.setdefault(key, [])
        callbacks.append(callback)
        return len(callbacks) == 1

    def _run(self, key: Hashable, read: Coroutine[None, None, Read]) -> None:
        self._tasks.spawn(self._settle(key, read))

    async def _settle(self, key: Hashable, read: Coroutine[None, None, Read]) -> None:
        result: Read | StoreError
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            result = await read
        except StoreError as error:
            # Its traceback refers to this frame, which refers to the error.
            result = error.with_traceback(None)
            self._stats.read_failed += 1
        self._stats.read_seconds.observe(loop.time() - begun)
        self._health.read(result if isinstance(result, StoreError) else None)
        self._replies = {}
        for callback in self._callbacks.pop(key):
            callback(result)
        self._replies = None

    def reply(self, poll: Poll, reads: Mapping[str, Read]) -> Reply | None:
        """The reply of `poll` to `reads`. All polls of one variant share it, for it may have a
        megabyte.
        """
        replies = self._replies
        if replies is None or len(reads) != 1 or poll.variant is None:
            return poll.reply(reads)
        (read,) = reads.values()
        key = (poll.variant, id(read))
        if key not in replies:
            replies[key] = (read, poll.reply(reads))
        return replies[key][1]

    async def close(self) -> None:
        """Wait for the reads that are under way."""
        await self._tasks.wait()

    def __len__(self) -> int:
        return len(self._callbacks)
