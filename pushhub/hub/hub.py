"""The hub. A poll is a read of a log that is allowed to wait.

Rule 1: register, then read, then park. Whoever reads first and registers then loses the event in
between.

Rule 2: the log is the truth. The tail in memory may answer what it holds; it never declares a loss,
and an event that does not follow the last one makes the hub ask the store.

Rule 3: nothing is marked as delivered. Only the cursor that a client sends back says what it has.

Everything here runs on one event loop's thread, and all that changes state is synchronous: between
two awaits the hub is consistent. What must be waited for (a cold read) is one task, shared by all
who need it.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING

from pushhub.hub.channel_hold import ChannelHold
from pushhub.hub.channels import ChannelTable
from pushhub.hub.cold_read import ColdReads, ColdResult
from pushhub.hub.drain import complete_holds
from pushhub.hub.fanout import Fanout
from pushhub.hub.feed_monitor import Check, FeedMonitor
from pushhub.hub.health import Health
from pushhub.hub.jitter import Jitter
from pushhub.hub.publishing import Publishing
from pushhub.hub.stats import Stats
from pushhub.hub.store_reads import StoreReads
from pushhub.hub.wheel import TICK_SECONDS, Wheel
from pushhub.polls.base import NO_HINT, Hint, Poll, Positions, deleted, resume

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pushhub.http.response import Reply
    from pushhub.hub.channel import Channel
    from pushhub.hub.hold import Hold
    from pushhub.hub.observer import HubObserver
    from pushhub.log.cursor import Cursor
    from pushhub.log.event import Event
    from pushhub.log.read import Read
    from pushhub.store.base import Append, Outcome, Store

DEFAULT_MAX_HOLDS = 100_000

# Full or leaving: when a client should ask again, drawn from this range of milliseconds.
RETRY_MS = (200, 1000)
FULL_RETRY_MS = (2000, 5000)


class Hub:
    """Every channel that somebody reads, every hold, and the one path from an event to its readers.

    Args:
        store: where the log lives; the hub is its listener.
        clock: seconds since 1970, for what outlives the process (expiry of tokens).
        uniform: draws a number between two, for jitter.
        max_holds: parked requests at one time; beyond it a poll is answered at once and told when
        to come back.
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
        self.parked = 0
        # The most at one time, until somebody sets it back.
        self.most_parked = 0
        self.draining = False
        self.now: Callable[[], float]
        self.uniform = uniform
        self._jitter = Jitter(uniform)
        self._factors = self._jitter.factors
        self.channels = ChannelTable(store.leave, lambda: self.now())
        self.feed_monitor = FeedMonitor(self.channels, lambda: self.now())
        self.health = Health(store)
        self.store_reads = StoreReads(
            store, self.channels, self.feed_monitor, self.stats, self.health, self._reread_all
        )
        self._cold = ColdReads(
            self.channels, self.feed_monitor, self.store_reads, self._cold_read, self._reread_all
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
        self.health.open(self.wheel, self.now)
        await self.store.open(self)
        self._tick()

    async def close(self) -> None:
        """Answer whoever still waits, and close the store."""
        await self.drain(0)
        if self._timer is not None:
            self._timer.cancel()
        await self.store_reads.close()
        await self.health.close()
        await self.store.close()

    # Polls

    def hold(self, poll: Poll, kind: type[ChannelHold] = ChannelHold) -> Reply | ChannelHold:
        """Answer a poll now, or return a hold of this `kind`, which the reply will complete."""
        hold = kind(self, poll)
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
        if observer is not None and observer.answered(hold, reply):
            hold.reply = reply
            return hold
        return reply

    def _begin(self, hold: ChannelHold) -> Reply | None:
        """Register a hold and read for it: its answer, or None if it waits."""
        poll = hold.poll
        wants = poll.reads
        if len(wants) == 1 and poll.wait:
            want = wants[0]
            channel = self.channels.register(hold, want.channel)
            if channel.ends_at(want.since):
                # What nearly every poll of a live reader comes to: there is nothing to read yet.
                assert channel.at is not None
                return self._park(hold, poll.wait, channel.at)
        else:
            self._register(hold)
        reads: dict[str, Read] = {}
        for want in wants:
            read = self.channels[want.channel].read(want)
            if read is None:
                self._cold.start(hold)
                return None
            reads[want.channel] = read
        return self._settle(hold, reads)

    def _settle(self, hold: ChannelHold, reads: Mapping[str, Read]) -> Reply | None:
        """Decide on a registered hold whose reads are current: its answer, or None after parking
        it.
        """
        poll = hold.poll
        if hold.tallied:
            self.stats.count_gaps(reads)
        reply = poll.reply(reads, NO_HINT)
        if reply is not None:
            return reply
        assert poll.wait is not None, "a poll that may not wait has an answer"
        return self._park(hold, poll.wait, self.channels.positions(poll, reads))

    def _park(self, hold: ChannelHold, wait: int, at: Positions) -> Reply | None:
        """Let a hold wait where it stands; its answer if it may not, None when it does."""
        now = self.now()
        # One that had to be read for again does not begin its wait anew.
        begun = hold.parked or now
        deadline = begun + wait * next(self._factors)
        if hold.counted and self.parked >= self.max_holds:
            self.stats.refused_holds += 1
            return hold.poll.empty(at, Hint(self._jitter.draw(FULL_RETRY_MS), waited=False))
        if self.draining:
            deadline = min(deadline, self._drained_at)
            if deadline <= now:
                return hold.poll.empty(at, Hint(self._jitter.draw(RETRY_MS)))
        if hold.at is None:
            # Else a former read for it has failed late, while it was read for again.
            self.parked += hold.counted
        hold.at = at
        hold.parked = begun
        if self.parked > self.most_parked:
            self.most_parked = self.parked
        self.wheel.set(hold, deadline)
        if self.observer is not None:
            self.observer.parked(hold)
        return None

    def _register(self, hold: ChannelHold) -> None:
        for want in hold.poll.reads:
            self.channels.register(hold, want.channel)

    def leave(self, hold: ChannelHold) -> None:
        """Take a hold off its channels and off the wheel. Safe to call for one that is on none."""
        if hold.at is not None:
            hold.at = None
            self.wheel.clear(hold)
            if hold.counted:
                self.parked -= 1
                self.stats.hold_seconds.observe(self.now() - hold.parked)
        for want in hold.poll.reads:
            self.channels.leave(hold, want.channel)

    def _answer(self, hold: ChannelHold, reply: Reply) -> None:
        """Complete a hold with what a read from the store gave."""
        if hold.complete(reply) and hold.tallied:
            self.stats.count_read(hold.poll, reply)

    def dropped(self, hold: Hold) -> None:
        """Count a client that disconnected before `hold` was answered."""
        if not (isinstance(hold, ChannelHold) and not hold.tallied):
            self.stats.dropped += 1

    def expire(self, hold: ChannelHold) -> None:
        """The wait has ended: the ordinary empty answer."""
        if hold.at is None:
            return  # Completed by what another one's deadline set off.
        if self.draining:
            self.end(hold, Hint(self._jitter.draw(RETRY_MS)))
        else:
            hint = self.feed_monitor.hint(hold, self.store.certain)
            if hint is not None:
                self.end(hold, hint)
            else:
                ask, now = self.store_reads.events, self.now()
                Check(hold, self.channels, now, ask, self._checked).start()

    def _checked(self, hold: ChannelHold, moved: list[Channel], hint: Hint) -> None:
        """The log was read for a hold that is about to end."""
        if not moved:
            self.end(hold, hint)
            return
        self.stats.repaired += 1
        for channel in moved:
            self._reread_all(channel)

    def end(self, hold: ChannelHold, hint: Hint) -> None:
        """Answer a parked hold that there is nothing new."""
        assert hold.at is not None
        if hold.complete(hold.poll.empty(hold.at, hint)):
            if self.draining:
                self.stats.completed_by_drain += hold.tallied
            else:
                self.stats.completed_by_deadline += hold.tallied

    def release(self, hold: ChannelHold) -> None:
        """Its client asks for something else: the empty answer at once."""
        assert hold.at is not None
        if hold.complete(hold.poll.empty(hold.at, NO_HINT)):
            self.stats.completed_by_newer += hold.tallied

    def resume(self, hold: ChannelHold, channel: Channel) -> None:
        """Put a hold that an event did not answer back to waiting; through the store, if the tail
        was lost, or has moved on too far to tell.
        """
        at, name = hold.at, channel.name
        assert at is not None
        wants = (resume(want, at[name]) for want in hold.poll.reads if want.channel == name)
        if channel in self.channels and all(map(channel.remembered, wants)):
            self.channels.register(hold, name)
            return
        self.reread(hold)

    def reread(self, hold: ChannelHold) -> None:
        """Take a hold out of its wait and read the log for it. Its wait does not begin anew."""
        at = hold.at
        assert at is not None
        self.parked -= hold.counted
        hold.at = None
        self.wheel.clear(hold)
        self._register(hold)
        self._cold.start(hold, at)

    def _reread_all(self, channel: Channel) -> None:
        """Read the log for every hold that waits on a channel."""
        self.channels.drop_tail(channel)
        for hold in list(channel.holds):
            if hold.at is not None and not hold.done:
                self.reread(hold)

    def _cold_read(self, hold: ChannelHold, result: ColdResult) -> None:
        """A hold was read for."""
        if result.at is not None:
            self._park_unsure(hold, result.at)
        elif result.reply is not None:
            if hold.tallied:
                self.stats.count_gaps(result.reads)
            self._answer(hold, result.reply)
        elif (reply := self._settle(hold, result.reads)) is not None:
            self._answer(hold, reply)

    def _park_unsure(self, hold: ChannelHold, at: Positions) -> None:
        """Let a hold wait while nobody can say what the log has: for the feed to be whole again."""
        assert hold.poll.wait is not None
        reply = self._park(hold, hold.poll.wait, at)
        if reply is not None:
            hold.complete(reply)

    # What the store tells

    def wake(self, event: Event) -> None:
        """An event is in the log: answer whoever waits for it."""
        channel = self.channels.get(event.channel)
        if self.observer is not None:
            self.observer.woken(event, len(channel.holds) if channel else 0)
        if channel is None:
            return
        self.channels.push(channel, event)
        if channel.holds:
            self._fanout.start(channel)

    def receipt(self, name: str, cursor: Cursor | None) -> None:
        """This process has a receipt for `cursor`, or for a delete."""
        self.feed_monitor.receipt(name, cursor)

    def forget(self, name: str) -> None:
        """A channel was deleted: whoever waits on it is told at once."""
        channel = self.channels.get(name)
        if channel is None:
            return
        self.channels.drop_tail(channel)
        channel.early = None
        for hold in list(channel.holds):
            if hold.at is not None and hold.complete(hold.poll.error(deleted(name))):
                self.stats.completed_by_delete += hold.tallied

    def lost(self) -> None:
        """The store may not tell of events any more."""
        self.feed_monitor.lost()

    def restored(self) -> None:
        """The store tells of events again."""
        self.feed_monitor.restored()
        for channel in self.channels:
            self._reread_all(channel)

    def publish(self, appends: list[Append], done: Callable[[list[Outcome]], None]) -> None:
        """Append events; `done` gets their outcomes, in order, when the store settled all."""
        if self.observer is not None:
            done = self.observer.published(appends, done)
        self.publishing.publish(appends, done)

    # Time

    def _tick(self) -> None:
        now = self.now()
        self.stats.loop_lag.observe(max(0.0, now - self._due))
        # First of all, so that the wheel turns on whatever a driver does.
        self._due = now + TICK_SECONDS
        self._timer = self._loop.call_at(self._due, self._tick)
        for entry in self.wheel.turn(now):
            entry.expire()
        self.channels.sweep()

    def pick(self, choices: Sequence[int]) -> int:
        """One of the choices, at random: what spreads a crowd."""
        return self._jitter.pick(choices)

    async def drain(self, seconds: float) -> None:
        """Answer every hold over about `seconds`, with a jittered hint of when to come back. New
        polls are held no longer.

        Safe to call again; a shorter drain hurries a longer one on.
        """
        self.draining = True
        self._drained_at = self.now() + seconds
        await complete_holds(self.wheel, self.now, self._drained_at)

    def holds_on(self, name: str) -> int:
        """How many requests wait on a channel."""
        channel = self.channels.get(name)
        return len(channel.holds) if channel else 0

    def __repr__(self) -> str:
        draining = ", draining" if self.draining else ""
        return f"<Hub {self.parked} holds, {self.channels!r}{draining}>"
