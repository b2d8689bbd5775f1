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
from itertools import cycle
from typing import TYPE_CHECKING

from pushhub.hub.counted_log import CountedLog
from pushhub.hub.doubt import Doubt
from pushhub.hub.drain import let_go
from pushhub.hub.fanout import Fanout
from pushhub.hub.gathering import Gathering
from pushhub.hub.health import Health
from pushhub.hub.hold import Parked
from pushhub.hub.publishing import Publishing
from pushhub.hub.reading import Reading
from pushhub.hub.shelf import Shelf
from pushhub.hub.stats import Stats
from pushhub.hub.tail_read import TailRead
from pushhub.hub.wheel import TICK_SECONDS, Wheel
from pushhub.protocol.cursor import Cursor
from pushhub.protocol.page import Gap, Read
from pushhub.protocol.poll import AT_ONCE, At, Hint, Poll, Positions, Want, deleted, resume

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pushhub.hub.channel import Channel
    from pushhub.hub.hold import Hold
    from pushhub.hub.trace import Tracer
    from pushhub.protocol.answer import Reply
    from pushhub.protocol.event import Event
    from pushhub.store.base import Append, Outcome, Store, StoreError

DEFAULT_MAX_HOLDS = 100_000

# The real end of a wait is up to this part earlier, so that holds that began together do not end
# together.
JITTER = 0.2
# A prime, so that a crowd of any usual size does not meet the same ones in step.
JITTERS = 1021

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
        # Drawn once, and gone through again and again: nobody can tell, and each wait needs one.
        self._jitter = cycle([uniform(1 - JITTER, 1) for _ in range(JITTERS)])
        self.shelf = Shelf(store.leave, lambda: self.now())
        self.doubt = Doubt(self)
        self.log = CountedLog()
        self.health = Health(store, self.log)
        self.reading = Reading(store, self.stats, self.health)
        self.publishing = Publishing(store, self.stats, self.health, lambda: self.now())
        self.tracer: Tracer | None = None
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
        self._fanout = Fanout(self._loop, self.stats)
        self.log.open(self.wheel, self.now)
        self.health.open(self.wheel, self.now)
        await self.store.open(self)
        self._tick()

    async def close(self) -> None:
        """Answer whoever still waits, and close the store."""
        await self.drain(0)
        if self._timer is not None:
            self._timer.cancel()
        await self.reading.close()
        await self.health.close()
        await self.store.close()
        self.log.close()

    # Polls

    def hold(self, poll: Poll, make: Callable[[Hub, Poll], Parked] = Parked) -> Reply | Parked:
        """Answer a poll now, or return the hold that will be completed with its answer. `make` is
        for a trace, whose holds tell what happens to them.
        """
        hold = make(self, poll)
        reply = self._begin(hold)
        if reply is None:
            return hold
        hold.done = True
        self.leave(hold)
        self._count_read(hold, reply)
        return reply

    def _begin(self, hold: Parked) -> Reply | None:
        """Register a hold and read for it: its answer, or None if it waits."""
        poll = hold.poll
        wants = poll.wants
        if len(wants) == 1 and poll.wait:
            want = wants[0]
            channel = self.shelf.register(hold, want.channel)
            if channel.ends_at(want.since):
                # What nearly every poll of a live reader comes to: there is nothing to read yet.
                assert channel.at is not None
                return self._park(hold, poll.wait, channel.at)
        else:
            self._register(hold)
        reads: dict[str, Read] = {}
        for want in wants:
            read = self.shelf[want.channel].read(want)
            if read is None:
                Gathering(self, hold).start()
                return None
            reads[want.channel] = read
        return self.settle(hold, reads)

    def settle(self, hold: Parked, reads: Mapping[str, Read]) -> Reply | None:
        """Decide on a registered hold whose reads are current: its answer, or None after parking
        it.
        """
        poll = hold.poll
        if hold.tallied:
            self.count_gaps(reads)
        reply = poll.answer(reads, AT_ONCE)
        if reply is not None:
            return reply
        assert poll.wait is not None, "a poll that may not wait has an answer"
        return self._park(hold, poll.wait, self._position(poll, reads))

    def _park(self, hold: Parked, wait: int, at: Positions) -> Reply | None:
        """Let a hold wait where it stands; its answer if it may not, None when it does."""
        now = self.now()
        # One that had to be read for again does not begin its wait anew.
        begun = hold.parked or now
        deadline = begun + wait * next(self._jitter)
        if hold.counted and self.parked >= self.max_holds:
            self.stats.refused_holds += 1
            return hold.poll.nothing(at, Hint(self._draw(FULL_RETRY_MS), waited=False))
        if self.draining:
            deadline = min(deadline, self._drained_at)
            if deadline <= now:
                return hold.poll.nothing(at, Hint(self._draw(RETRY_MS)))
        if hold.at is None:
            # Else a former read for it has failed late, while it was read for again.
            self.parked += hold.counted
        hold.at = at
        hold.parked = begun
        if self.parked > self.most_parked:
            self.most_parked = self.parked
        self.wheel.set(hold, deadline)
        return None

    def _position(self, poll: Poll, reads: Mapping[str, Read]) -> Positions:
        if len(reads) == 1:
            ((name, read),) = reads.items()
            cursor = poll.position(name, read)
            shared = self.shelf[name].at
            # Holds that stand at the end of a channel share one object for it: eight bytes each.
            return shared if shared is not None and shared.cursor == cursor else At(cursor)
        return {name: poll.position(name, read) for name, read in reads.items()}

    def _register(self, hold: Parked) -> None:
        for want in hold.poll.wants:
            self.shelf.register(hold, want.channel)

    def leave(self, hold: Parked) -> None:
        """Take a hold off its channels and off the wheel. Safe to call for one that is on none."""
        if hold.at is not None:
            hold.at = None
            self.wheel.clear(hold)
            if hold.counted:
                self.parked -= 1
                self.stats.hold_seconds.observe(self.now() - hold.parked)
        for want in hold.poll.wants:
            self.shelf.leave(hold, want.channel)

    def count_gaps(self, reads: Mapping[str, Read]) -> None:
        """Count the gaps that somebody is about to be told of."""
        for read in reads.values():
            if isinstance(read, Gap):
                self.stats.gaps[read.reason] += 1

    def _count_read(self, hold: Parked, reply: Reply) -> None:
        if not hold.tallied:
            return
        self.stats.delivered += reply.events
        if reply.events and isinstance(hold.poll.wants[0].since, Cursor):
            self.stats.recovered += 1

    def answered(self, hold: Parked, reply: Reply) -> None:
        """Complete a hold with what a read from the store gave."""
        if hold.complete(reply):
            self._count_read(hold, reply)

    def dropped(self, hold: Hold) -> None:
        """Count a client that disconnected before `hold` was answered."""
        if not (isinstance(hold, Parked) and not hold.tallied):
            self.stats.dropped += 1

    def expire(self, hold: Parked) -> None:
        """The wait has ended: the ordinary empty answer."""
        if hold.at is None:
            return  # Completed by what another one's deadline set off.
        if self.draining:
            self.end(hold, Hint(self._draw(RETRY_MS)))
        else:
            self.doubt.expire(hold)

    def end(self, hold: Parked, hint: Hint) -> None:
        """Answer a parked hold that there is nothing new."""
        assert hold.at is not None
        if hold.complete(hold.poll.nothing(hold.at, hint)):
            if self.draining:
                self.stats.completed_by_drain += hold.tallied
            else:
                self.stats.completed_by_deadline += hold.tallied

    def release(self, hold: Parked) -> None:
        """Its client asks for something else: the empty answer at once."""
        assert hold.at is not None
        if hold.complete(hold.poll.nothing(hold.at, AT_ONCE)):
            self.stats.completed_by_newer += hold.tallied

    def resume(self, hold: Parked, channel: Channel) -> None:
        """Put a hold that an event did not answer back to waiting; through the store, if the tail
        was lost, or has moved on too far to tell.
        """
        at, name = hold.at, channel.name
        assert at is not None
        wants = (resume(want, at[name]) for want in hold.poll.wants if want.channel == name)
        if channel in self.shelf and all(map(channel.remembered, wants)):
            self.shelf.register(hold, name)
            return
        self.reread(hold)

    def reread(self, hold: Parked) -> None:
        """Take a hold out of its wait and read the log for it. Its wait does not begin anew."""
        at = hold.at
        assert at is not None
        self.parked -= hold.counted
        hold.at = None
        self.wheel.clear(hold)
        self._register(hold)
        Gathering(self, hold, at).start()

    def park_unsure(self, hold: Parked, at: Positions) -> None:
        """Let a hold wait while nobody can say what the log has: for the feed to be whole again."""
        assert hold.poll.wait is not None
        reply = self._park(hold, hold.poll.wait, at)
        if reply is not None:
            hold.complete(reply)

    # What the store tells

    def wake(self, event: Event) -> None:
        """An event is in the log: answer whoever waits for it."""
        channel = self.shelf.get(event.channel)
        if channel is None:
            return
        self.shelf.push(channel, event)
        if channel.holds:
            self._fanout.start(channel)

    def receipt(self, name: str, cursor: Cursor | None) -> None:
        """This process has a receipt for `cursor`, or for a delete."""
        self.doubt.receipt(name, cursor)

    def forget(self, name: str) -> None:
        """A channel was deleted: the holds on it end now, but for those that wait on."""
        channel = self.shelf.get(name)
        if channel is None:
            return
        self.shelf.drop_tail(channel)
        channel.early = None
        for hold in list(channel.holds):
            if hold.at is None:
                continue
            reply = hold.poll.refuse(deleted(name))
            if reply is None:
                self.reread(hold)
            elif hold.complete(reply):
                self.stats.completed_by_delete += hold.tallied

    def lost(self) -> None:
        """The store may not tell of events any more."""
        self.doubt.lost()

    def restored(self) -> None:
        """The store tells of events again."""
        self.doubt.restored()

    def publish(self, appends: list[Append], done: Callable[[list[Outcome]], None]) -> None:
        """Append events; `done` gets their outcomes, in order, when the store settled all."""
        self.publishing.publish(appends, done)

    # Cold channels

    def ask_tail(self, channel: Channel, done: Callable[[StoreError | None], None]) -> None:
        """Load a channel's tail from the store; `done` gets what failed, or None."""
        TailRead(self.reading, self.shelf, self.stats, channel, done).start()

    def ask_events(self, want: Want, done: Callable[[Read | StoreError], None]) -> None:
        """Read from the store what a tail does not hold."""
        channel = self.shelf[want.channel]
        if channel.due is not None:
            self.doubt.overdue(channel)
        tail = channel.tail
        # Who knows of an event shares no read that may have begun before it.
        known = (tail, tail.cursor if tail else None, channel.due, want.tags)
        self.reading.events(want.channel, want.since, want.limit, done, known)

    # Time

    def _tick(self) -> None:
        now = self.now()
        self.stats.loop_lag.observe(max(0.0, now - self._due))
        # First of all, so that the wheel turns on whatever a driver does.
        self._due = now + TICK_SECONDS
        self._timer = self._loop.call_at(self._due, self._tick)
        for entry in self.wheel.turn(now):
            entry.expire()
        self.shelf.sweep()

    def pick(self, choices: Sequence[int]) -> int:
        """One of the choices, at random: what spreads a crowd."""
        return choices[min(int(self.uniform(0, len(choices))), len(choices) - 1)]

    def _draw(self, bounds: tuple[int, int]) -> int:
        return round(self.uniform(*bounds))

    async def drain(self, seconds: float) -> None:
        """Answer every hold over about `seconds`, with a jittered hint of when to come back. New
        polls are held no longer.

        Safe to call again; a shorter drain hurries a longer one on.
        """
        self.draining = True
        self._drained_at = self.now() + seconds
        await let_go(self, self._drained_at)

    def holds_on(self, name: str) -> int:
        """How many requests wait on a channel."""
        channel = self.shelf.get(name)
        return len(channel.holds) if channel else 0

    def __repr__(self) -> str:
        draining = ", draining" if self.draining else ""
        return f"<Hub {self.parked} holds, {self.shelf!r}{draining}>"
