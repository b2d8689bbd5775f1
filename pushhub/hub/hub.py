"""The hub. A poll is a read of a log that is allowed to wait.

H1: register, then read, then park. A poll that reads before it registers loses the events in
between.

H2: the log is the truth. A tail in memory may serve the events that it holds, but it never
declares a loss. An event that does not follow the last one makes the hub read the store.

H3: the hub marks nothing as delivered. Only the cursor in the next request says what a client
has.

The hub runs on the thread of one event loop, and changes state in synchronous methods only: between
two awaits it is consistent. A cold read is one task, which all polls that need it share.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING

from pushhub.hub.channel_hold import ChannelHold, GrantedHold
from pushhub.hub.channels import ChannelTable
from pushhub.hub.closed_channels import ClosedChannels
from pushhub.hub.cold_read import ColdReads, ColdResult
from pushhub.hub.counted_log import CountedLog
from pushhub.hub.drain import complete_holds
from pushhub.hub.fanout import Fanout
from pushhub.hub.feed_monitor import ExpiryCheck, FeedMonitor
from pushhub.hub.health import Health
from pushhub.hub.jitter import RETRY_MS, Jitter
from pushhub.hub.publishing import Publishing
from pushhub.hub.stats import Stats
from pushhub.hub.store_reads import StoreReads
from pushhub.hub.wheel import TICK_SECONDS, Wheel
from pushhub.log.channel import PRIVATE_MARK
from pushhub.log.grant import EVERYTHING
from pushhub.polls.base import NO_HINT, Hint, Poll, Positions, deleted, resume
from pushhub.store.base import outcomes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pushhub.http.response import Reply
    from pushhub.hub.channel import Channel
    from pushhub.hub.hold import Hold
    from pushhub.hub.observer import HubObserver
    from pushhub.log.event import Event
    from pushhub.log.grant import Grant
    from pushhub.log.read import Read
    from pushhub.store.base import Append, Outcome, Store

DEFAULT_MAX_HOLDS = 100_000

# A client polls again after a random time from this range of milliseconds while the hub is full.
FULL_RETRY_MS = (2000, 5000)


class Hub:
    """The channels in memory, the holds, and the one path from an event to its readers.

    Args:
        store: the log; the hub is its listener.
        clock: seconds since 1970, for times that outlive the process, such as expiry of tokens.
        uniform: draws a number between two, for jitter.
        max_holds: the limit of parked requests, each counted once for each of its channels. Beyond
            it the hub responds to a poll immediately, and says when to poll again.
    """

    def __init__(
        self,
        store: Store,
        *,
        clock: Callable[[], float] = time.time,
        uniform: Callable[[float, float], float] = random.uniform,
        max_holds: int = DEFAULT_MAX_HOLDS,
    ) -> None:
        self.store = store
        self.clock = clock
        self.stats = Stats()
        self.max_holds = max_holds
        # `most_parked` is the maximum since a reader of this figure reset it.
        self.parked = self.channel_waits = self.most_parked = 0
        self.draining = self.closing = False
        self.closed = ClosedChannels()
        self.now: Callable[[], float]
        self.uniform = uniform
        self.jitter = Jitter(uniform)
        self._factors = self.jitter.factors
        self.channels = ChannelTable(store.leave, lambda: self.now())
        self.feed_monitor = FeedMonitor(self.channels, lambda: self.now())
        self.receipt = self.feed_monitor.receipt
        self.log = CountedLog()
        self.health = Health(store, self.log)
        self.store_reads = StoreReads(
            store, self.channels, self.feed_monitor, self.stats, self.health, self._reread_all
        )
        self._cold = ColdReads(
            self.channels, self.feed_monitor, self.store_reads, self._read_ended, self._reread_all
        )
        self.publishing = Publishing(store, self.stats, self.health, lambda: self.now())
        self.observer: HubObserver | None = None
        self._drained_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        """Open the store and start the wheel.

        Raises:
            StoreError: the store cannot be opened.
        """
        self._loop = asyncio.get_running_loop()
        self.now = self._loop.time
        self.wheel = Wheel(self.now())
        self._due = self.now()
        self._fanout = Fanout(self._loop, self.stats, self.channels, self.resume)
        self.log.open(self.wheel, self.now)
        self.health.open(self.wheel, self.now)
        await self.store.open(self)
        self._tick()

    async def close(self) -> None:
        """Complete all holds, those of the server itself too, and close the store."""
        self.closing = True
        await self.drain(0)
        if self._timer is not None:
            self._timer.cancel()
        await self.store_reads.close()
        await self.health.close()
        await self.store.close()
        self.log.close()

    # Polls

    def hold(
        self, poll: Poll, kind: type[ChannelHold] = ChannelHold, grant: Grant = EVERYTHING
    ) -> Reply | ChannelHold:
        """Reply to a poll now, or return a hold of this `kind`, which ends with the `grant`."""
        return self.begin(GrantedHold(self, poll, grant) if grant.can_end else kind(self, poll))

    def begin(self, hold: ChannelHold) -> Reply | ChannelHold:
        """Reply to the poll of a new hold now, or return the hold that waits."""
        observer = self.observer
        if observer is not None:
            observer.polled(hold)
        reply = self._begin(hold)
        if reply is None:
            return hold
        hold.done = True
        self.leave(hold)
        if hold.tallied:
            self.stats.count_read(hold.poll, reply)
        if observer is not None and observer.replied(hold, reply):
            hold.reply = reply
            return hold
        return reply

    def _begin(self, hold: ChannelHold) -> Reply | None:
        """Register a hold and read for it: its reply, or None if it waits."""
        poll = hold.poll
        channel_reads = poll.reads
        if len(channel_reads) == 1 and poll.wait:
            channel_read = channel_reads[0]
            channel = self.channels.register(hold, channel_read.channel)
            if channel.ends_at(channel_read.since):
                # Nearly every poll of a live reader ends here: there is nothing to read yet.
                assert channel.at is not None
                return self._park(hold, poll.wait, channel.at)
        else:
            self.channels.register_all(hold)
        reads: dict[str, Read] = {}
        for channel_read in channel_reads:
            read = self.channels[channel_read.channel].read(channel_read)
            if read is None:
                self._cold.start(hold)
                return None
            reads[channel_read.channel] = read
        return self._settle(hold, reads)

    def _settle(self, hold: ChannelHold, reads: Mapping[str, Read]) -> Reply | None:
        """Decide on a registered hold with current reads: its reply, or None if it parks."""
        poll = hold.poll
        if hold.tallied:
            self.stats.count_gaps(reads)
        reply = poll.reply(reads, NO_HINT)
        if reply is not None:
            return reply
        assert poll.wait is not None, "a poll that may not wait has a reply"
        return self._park(hold, poll.wait, self.channels.positions(poll, reads))

    def _park(self, hold: ChannelHold, wait: int, at: Positions) -> Reply | None:
        """Let a hold wait at its positions: None, or the reply if it may not wait."""
        now = self.now()
        # A hold that was read for again does not begin its wait again.
        begun = hold.parked or now
        deadline = min(begun + wait * next(self._factors), hold.latest)
        if hold.counted and self.channel_waits >= self.max_holds:
            self.stats.refused_holds += 1
            return hold.poll.empty(at, Hint(self.jitter.draw(FULL_RETRY_MS), waited=False))
        if self.draining and (self.closing or not hold.outlives_drain):
            deadline = min(deadline, self._drained_at)
            if deadline <= now:
                return hold.poll.empty(at, Hint(self.jitter.draw(RETRY_MS)))
        if hold.at is None:
            # Else an earlier read has failed late, while a second one was under way.
            self.parked += hold.counted
            self.channel_waits += hold.counted * len(hold.poll.reads)
        hold.at = at
        hold.parked = begun
        if self.parked > self.most_parked:
            self.most_parked = self.parked
        self.wheel.set(hold, deadline)
        if self.observer is not None:
            self.observer.parked(hold)
        return None

    def leave(self, hold: ChannelHold) -> None:
        """Take a hold off its channels and off the wheel. Safe to call again."""
        if hold.at is not None:
            hold.at = None
            self.wheel.clear(hold)
            if hold.counted:
                self.parked -= 1
                self.channel_waits -= len(hold.poll.reads)
                self.stats.hold_seconds.observe(self.now() - hold.parked)
        for channel_read in hold.poll.reads:
            self.channels.leave(hold, channel_read.channel)

    def _reply(self, hold: ChannelHold, reply: Reply) -> None:
        """Complete a hold with the reply of a cold read."""
        if hold.complete(reply) and hold.tallied:
            self.stats.count_read(hold.poll, reply)

    def dropped(self, hold: Hold) -> None:
        """Count a client that disconnected before `hold` was completed."""
        if not (isinstance(hold, ChannelHold) and not hold.tallied):
            self.stats.dropped += 1

    def expire(self, hold: ChannelHold) -> None:
        """The deadline of a hold has passed: complete it with an empty reply."""
        if hold.at is None:
            return  # The deadline of another hold has led to its completion.
        if self.draining:
            self.end(hold, Hint(self.jitter.draw(RETRY_MS)))
        elif (hint := self.feed_monitor.hint(hold, self.store.certain)) is not None:
            self.end(hold, hint)
        else:
            read_events, now = self.store_reads.events, self.now()
            ExpiryCheck(hold, self.channels, now, read_events, self._checked).start()

    def _checked(self, hold: ChannelHold, moved: list[Channel], hint: Hint) -> None:
        """The log was read for a hold whose deadline has passed."""
        if not moved:
            self.end(hold, hint)
            return
        self.stats.repaired += 1
        for channel in moved:
            self._reread_all(channel)

    def end(self, hold: ChannelHold, hint: Hint) -> None:
        """Complete a parked hold with an empty reply."""
        assert hold.at is not None
        if hold.complete(hold.poll.empty(hold.at, hint)):
            if self.draining:
                self.stats.completed_by_drain += hold.tallied
            else:
                self.stats.completed_by_deadline += hold.tallied

    def hurry(self, hold: ChannelHold) -> None:
        """The client has sent another request: complete the hold with an empty reply."""
        assert hold.at is not None
        if hold.complete(hold.poll.empty(hold.at, NO_HINT)):
            self.stats.completed_by_newer += hold.tallied

    def resume(self, hold: ChannelHold, channel: Channel) -> None:
        """Let a hold wait on that an event did not complete. If the tail cannot tell its position,
        read the store.
        """
        at, name = hold.at, channel.name
        assert at is not None
        channel_reads = (resume(each, at[name]) for each in hold.poll.reads if each.channel == name)
        if channel in self.channels and all(map(channel.remembered, channel_reads)):
            self.channels.register(hold, name)
            return
        self.reread(hold)

    def reread(self, hold: ChannelHold) -> None:
        """Read the log for a hold that waits. Its deadline stays."""
        at = hold.at
        assert at is not None
        self.parked -= hold.counted
        self.channel_waits -= hold.counted * len(hold.poll.reads)
        hold.at = None
        self.wheel.clear(hold)
        self.channels.register_all(hold)
        self._cold.start(hold, at)

    def _reread_all(self, channel: Channel) -> None:
        """Read the log for every hold that waits on a channel."""
        self.channels.drop_tail(channel)
        for hold in list(channel.holds):
            if hold.at is not None and not hold.done:
                self.reread(hold)

    def _read_ended(self, hold: ChannelHold, result: ColdResult) -> None:
        """Do what a cold read decided for its hold."""
        if result.at is not None:
            # The log cannot be read: the hold waits until the feed is connected.
            assert hold.poll.wait is not None
            if (full := self._park(hold, hold.poll.wait, result.at)) is not None:
                hold.complete(full)
        elif result.reply is not None:
            if hold.tallied:
                self.stats.count_gaps(result.reads)
            self._reply(hold, result.reply)
        elif (reply := self._settle(hold, result.reads)) is not None:
            self._reply(hold, reply)

    # Notifications of the store

    def wake(self, event: Event) -> None:
        """An event is in the log: complete the holds of its channel."""
        channel = self.channels.get(event.channel)
        ended = None
        if self.observer is not None:
            ended = self.observer.woken(event, len(channel.holds) if channel else 0)
        if channel is not None:
            self.channels.push(channel, event)
            if channel.holds:
                self._fanout.start(channel, ended)

    def forget(self, name: str) -> None:
        """A channel was deleted: complete its holds, or read the log for those that wait on."""
        channel = self.channels.get(name)
        if channel is None:
            return
        self.channels.drop_tail(channel)
        channel.early = None
        for hold in list(channel.holds):
            if hold.at is None:
                continue
            reply = hold.poll.error(deleted(name))
            if reply is None:
                self.reread(hold)
            elif hold.complete(reply):
                self.stats.completed_by_delete += hold.tallied

    def lost(self) -> None:
        """The store's feed has disconnected."""
        self.feed_monitor.lost()

    def restored(self) -> None:
        """The store's feed is connected again: read every channel that has holds."""
        self.feed_monitor.restored()
        for channel in self.channels:
            self._reread_all(channel)

    # Publishing

    def publish(self, appends: list[Append], done: Callable[[list[Outcome]], None]) -> None:
        """Append events; `done` gets their outcomes, in order, when the store has settled all."""
        if self.observer is not None:
            appends, done = self.observer.published(appends, done)
        self.publishing.publish(appends, done)

    def record(self, appends: list[Append], done: Callable[[list[Outcome]], None]) -> None:
        """Append events of the server itself to its own channels: neither counted nor observed."""
        assert all(append.channel.startswith(PRIVATE_MARK) for append in appends), appends
        self.store.append(appends, done)

    async def recorded(self, *appends: Append) -> list[Outcome]:
        """Append events of the server itself, and wait for their outcomes."""
        return await outcomes_of(self.record, appends)

    # Time

    def _tick(self) -> None:
        now = self.now()
        self.stats.loop_lag.observe(max(0.0, now - self._due))
        # First, so that the wheel turns on even if a driver raises.
        self._due = now + TICK_SECONDS
        self._timer = self._loop.call_at(self._due, self._tick)
        for entry in self.wheel.turn(now):
            entry.expire()
        self.channels.sweep()

    async def drain(self, seconds: float) -> None:
        """Complete the holds of clients within about `seconds`, with a random time to poll again;
        new polls wait no longer. A shorter drain replaces a longer one. `close` ends the others."""
        self.draining = True
        self._drained_at = self.now() + seconds
        await complete_holds(self.wheel, self.now, self._drained_at, everything=self.closing)

    def holds_on(self, name: str) -> int:
        """The number of holds on a channel."""
        return len(channel.holds) if (channel := self.channels.get(name)) else 0

    def __repr__(self) -> str:
        return f"<Hub {self.parked} holds, {self.channels!r}{', draining' * self.draining}>"
