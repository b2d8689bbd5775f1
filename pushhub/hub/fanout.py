"""Delivers one event to all holds of its channel, in slices, so that the loop never stalls for
long.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from pushhub.log.cursor import Cursor
from pushhub.log.read import Page
from pushhub.polls.base import Positions, resume

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Hashable, Iterator

    from pushhub.http.response import Reply
    from pushhub.hub.channel import Channel
    from pushhub.hub.channel_hold import ChannelHold
    from pushhub.hub.channels import ChannelTable
    from pushhub.hub.stats import Stats
    from pushhub.log.read import Read
    from pushhub.polls.base import ChannelRead

# A slice ends after this time, or after so many holds. Writing a response and the next poll of its
# client take the loop another 15 to 20 µs for each hold.
SLICE_SECONDS = 0.002
SLICE_HOLDS = 128
# Holds between two reads of the clock.
STRIDE = 32


class Job:
    """The holds of one channel at the moment of an event, and the position among them."""

    __slots__ = ("begun", "channel", "completed", "ended", "holds", "memo", "memo_at")

    def __init__(self, channel: Channel, begun: float, ended: Callable[[int], None] | None) -> None:
        self.channel = channel
        # The end that an observer asked for, and the holds that were completed until now.
        self.ended = ended
        self.completed = 0
        self.holds: Iterator[ChannelHold] = iter(channel.holds)
        self.begun = begun
        # The replies at this cursor, by the variant and the position of the polls. Each keeps its
        # position alive, so that no other object can get the same identity.
        self.memo: dict[Hashable, tuple[object, Reply | None]] = {}
        self.memo_at: object = None
        channel.holds = {}

    def reply(self, hold: ChannelHold) -> Reply | None:
        """The reply for a hold; None if the event is nothing to it."""
        poll, channel, at = hold.poll, self.channel, hold.at
        assert at is not None
        tail = channel.tail
        if tail is None:
            return None
        if tail.cursor is not self.memo_at:
            # Another event arrived between two slices: the remaining holds get both.
            self.memo_at = tail.cursor
            self.memo.clear()
        variant = poll.variant
        key = (variant, id(at))
        if variant is not None and (known := self.memo.get(key)) is not None:
            return known[1]
        reads = self._reads(poll.reads, at)
        reply = None if reads is None else poll.reply(reads)
        if variant is not None:
            self.memo[key] = (at, reply)
        return reply

    def _reads(
        self, channel_reads: tuple[ChannelRead, ...], at: Positions
    ) -> dict[str, Read] | None:
        """The reads of the channel that moved, and of channels whose cursor the client lacks."""
        name, tail = self.channel.name, self.channel.tail
        assert tail is not None
        reads: dict[str, Read] = {}
        for channel_read in channel_reads:
            if channel_read.channel == name:
                resumed = resume(channel_read, at[name])
                read = tail.read(resumed.since, resumed.limit)
                if read is None:
                    return None
                reads[name] = read
            elif not isinstance(channel_read.since, Cursor):
                reads[channel_read.channel] = Page((), at[channel_read.channel], up_to_date=False)
        return reads


class Fanout:
    """The jobs under way, in the order of their events."""

    __slots__ = ("_busy", "_channels", "_jobs", "_loop", "_resume", "_stats")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        stats: Stats,
        channels: ChannelTable,
        resume: Callable[[ChannelHold, Channel], None],
    ) -> None:
        """`resume` lets a hold wait on, when the event was nothing to it."""
        self._loop = loop
        self._stats = stats
        self._channels = channels
        self._resume = resume
        self._jobs: deque[Job] = deque()
        # A slice is under way, or will be.
        self._busy = False

    def start(self, channel: Channel, ended: Callable[[int], None] | None = None) -> None:
        """Deliver to all holds of `channel`: the first slice now, unless another job is under way.
        In that case the publisher may be a client of that job. At the end `ended` gets the number
        of completed holds.
        """
        self._jobs.append(Job(channel, self._loop.time(), ended))
        if not self._busy:
            self._slice()

    def _slice(self) -> None:
        self._busy = True
        try:
            self._busy = self._serve()
        except BaseException:
            self._busy = False
            raise

    def _serve(self) -> bool:
        """One slice; whether there will be another."""
        loop, stats = self._loop, self._stats
        end = loop.time() + SLICE_SECONDS
        left = SLICE_HOLDS
        while self._jobs:
            job = self._jobs[0]
            count = delivered = 0
            is_over = False
            for hold in job.holds:
                if not hold.done and hold.at is None:
                    # A cold read is under way for the hold, and will find the event in the log.
                    self._channels.register(hold, job.channel.name)
                elif not hold.done:
                    reply = job.reply(hold)
                    if reply is None:
                        self._resume(hold, job.channel)
                    elif hold.complete(reply) and hold.tallied:
                        count += 1
                        delivered += reply.events
                left -= 1
                if not left or (not left % STRIDE and loop.time() > end):
                    break
            else:
                self._jobs.popleft()
                is_over = True
            now = loop.time()
            stats.completed_by_event += count
            stats.delivered += delivered
            stats.wake_latency.observe(now - job.begun, count)
            if job.ended is not None:
                job.completed += count
                if is_over:
                    job.ended(job.completed)
            if self._jobs and (not left or now > end):
                loop.call_soon(self._slice)
                return True
        return False

    def __len__(self) -> int:
        return len(self._jobs)
