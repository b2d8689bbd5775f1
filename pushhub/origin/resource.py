"""A resource of the origin that somebody waits on, or reads from memory: asked for once for all.

Who waits is registered on the resource's channel before the origin is asked, so that no change
passes by. A request that has what the last look found, and that look is fresh, parks at once; any
other waits for a look that begins after it came. A change that a look finds is published to the
channel, where it answers every hold, on all nodes.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pushhub.hub.hold import Hold
from pushhub.hub.wheel import OFF
from pushhub.origin.fetching import Alone, Failed, Found, Unchanged
from pushhub.origin.pace import Pace
from pushhub.origin.report import Facts
from pushhub.origin.takers import Takers
from pushhub.origin.waiting import Waiting
from pushhub.protocol.answer import Part
from pushhub.protocol.problem import Problem
from pushhub.protocol.representation import Representation
from pushhub.store.base import (
    NO_VALUE,
    REGISTER,
    Append,
    Appended,
    Expect,
    Mismatch,
    StoreError,
    append,
)

if TYPE_CHECKING:
    from pushhub.origin.asked import Pairs
    from pushhub.origin.key import Key
    from pushhub.origin.sharing import Sharing
    from pushhub.origin.wish import Wish
    from pushhub.protocol.answer import Answer
    from pushhub.protocol.condition import Condition
    from pushhub.protocol.cursor import Cursor
    from pushhub.protocol.poll import Hint
    from pushhub.settings.origin import Route
    from pushhub.store.base import Outcome

# How long nobody may wait before the resource is forgotten: a poller is away between two polls.
LINGER_SECONDS = 10.0
# Clients of one resource are mostly of one mind: the newest tag, and the wait of their library.
MAX_POLLS = 16
# For how long what cannot be shared is passed through without another look.
ALONE_SECONDS = 60.0


class Resource:
    """What one node knows of a resource, and who waits there for a look."""

    __slots__ = ("_again", "_heard", "_looking", "_number", "_pace", "_pairs", "_polls",
                 "_sharing", "_takers", "_verified", "alone_until", "key", "known",
                 "left", "published", "route", "tick", "told_by")  # fmt: skip

    def __init__(
        self, sharing: Sharing, route: Route, key: Key, pairs: Pairs, told_by: str | None
    ) -> None:
        self._sharing = sharing
        self.route = route
        self.key = key
        # A public channel whose events say that the resource changed.
        self.told_by = told_by
        self._pairs = pairs
        self.known: Representation | None = None
        # The channel's last event that was taken in; where there is none yet, the end of its log.
        # None while nobody listens there.
        self._heard: Cursor | None = None
        # When the origin, or a node that asked it, last said that `known` is true.
        self._verified = float("-inf")
        self._number = 0
        self._looking = False
        self._again = False
        self._takers = Takers()
        self._polls: dict[tuple[Condition, int], Waiting] = {}
        self._pace = Pace(route, sharing.uniform)
        self.published = False
        self.alone_until = 0.0
        # When the last one who waited here has gone.
        self.left = 0.0
        self.tick = OFF

    @property
    def channel(self) -> str:
        """Where changes are told."""
        return self.key.channel

    def reroute(self, route: Route, told_by: str | None) -> None:
        """The routes were read anew. Who waits already waits on; the next look is soon."""
        self.route, self.told_by = route, told_by
        self._pace = Pace(route, self._sharing.uniform)
        self._sharing.hub.wheel.clear(self)
        self._schedule()

    # Requests

    def at_once(self, wait: int | None, condition: Condition | None) -> Answer | Hold | None:
        """What becomes of a request without asking the origin; None if it must be asked."""
        self._listen()
        now = self._sharing.hub.now()
        known = self.known
        if known is None:
            return None
        if wait is None:
            if now - self._verified > self.route.max_age:
                return None
            fresh = condition is None or condition.is_new(known)
            return known.answer() if fresh else known.unchanged()
        if condition is None or not self._is_fresh(now) or condition.is_new(known):
            return None
        return self._park(condition, wait)

    async def outcome(self, wish: Wish) -> Answer | Hold | None:
        """What becomes of a request for which the origin is asked, with others; None if it is to
        pass through.
        """
        hold: Answer | Hold | None = None
        if wish.wait is not None and wish.condition is not None:
            # First of all: whatever is published from now on answers it.
            hold = self._park(wish.condition, wish.wait)
            if not isinstance(hold, Hold):
                return hold
        # Who only reads takes a look that began before it came, as any cache would give it.
        number = self._number + (1 if wish.wait is not None or not self._looking else 0)
        condition = wish.condition if wish.wait is not None else None
        try:
            self._look()
            verdict = await self._takers.verdict(condition, number)
        except asyncio.CancelledError:
            if isinstance(hold, Hold):
                hold.drop()
            raise
        if verdict is True:
            return hold
        if isinstance(hold, Hold):
            if hold.done:
                return hold
            hold.drop()
        if isinstance(verdict, Problem):
            raise verdict
        if isinstance(verdict, Representation):
            return self._given(verdict, wish)
        return None

    def _given(self, representation: Representation, wish: Wish) -> Answer:
        condition = wish.condition
        if wish.wait is None and condition is not None and not condition.is_new(representation):
            return representation.unchanged()
        failed = representation.status == 429 or representation.status >= 500
        return representation.answer(None if failed else wish.wait)

    def _park(self, condition: Condition, wait: int) -> Answer | Hold:
        held = self._sharing.hub.hold(self._poll(condition, wait))
        assert not isinstance(held, Part), "only a stream is answered in parts"
        self._schedule()
        return held

    def _poll(self, condition: Condition, wait: int) -> Waiting:
        """The poll of all who have the same and wait as long."""
        poll = self._polls.get((condition, wait))
        if poll is None:
            if len(self._polls) >= MAX_POLLS:
                self._polls.pop(next(iter(self._polls)))
            poll = self._polls[condition, wait] = Waiting(self, condition, wait)
        return poll

    def nothing(self, condition: Condition, wait: int | None, hint: Hint) -> Answer:
        """The end of a wait that brought nothing: as the API says it; or what is wrong."""
        if self._pace.problem is not None:
            return self._sharing.refuse(self._pace.problem)
        known = self.known
        if known is None or condition.is_new(known):
            # Nobody could say whether there is something new.
            late = Problem("origin-timeout", "The origin did not answer during the wait.")
            return self._sharing.refuse(late)
        match self.route.nothing:
            case "same":
                return known.answer(wait, hint)
            case "204":
                return known.unchanged(wait, hint, 204)
        return known.unchanged(wait, hint)

    # What happens

    def notified(self, turn: str = "") -> None:
        """Somebody says that it changed: look, if anybody waits; else nothing is fresh any more.

        `turn` names the notification, so that one node alone looks for all. Should that node die,
        the next who asks has the origin asked again.
        """
        # Before anything else: what was told before the notification is older than it.
        self._listen()
        self._verified = float("-inf")
        if self._looking:
            self._again = True
        elif self.waiting:
            self._look(turn)

    def expire(self) -> None:
        """The pause has ended, or nobody has waited for long."""
        now = self._sharing.hub.now()
        if self._looking:
            return
        if self.waiting:
            self.left = 0.0
            if self.route.step == "poll" or self._pace.problem is not None:
                self._look(self._turn(now))
            else:
                self._schedule()
        elif not self.left:
            self.left = now
            self._sharing.hub.wheel.set(self, now + LINGER_SECONDS)
        elif now - self.left >= max(LINGER_SECONDS, self.route.max_age):
            self._sharing.forget(self)
        else:
            left = self.left + max(LINGER_SECONDS, self.route.max_age)
            self._sharing.hub.wheel.set(self, left)

    @property
    def waiting(self) -> bool:
        """Whether anybody waits for it."""
        return bool(self._takers) or self._sharing.hub.holds_on(self.channel) > 0

    def _is_fresh(self, now: float) -> bool:
        """Whether `known` is as new as it gets without asking."""
        if self._pace.problem is not None or self._heard is None:
            return False
        if self.route.step == "notify":
            return self._verified > float("-inf")
        return now - self._verified <= self._pace.freshness

    def _listen(self) -> None:
        """Take in what other nodes have published."""
        channel = self._sharing.hub.shelf.get(self.channel)
        if channel is None or channel.tail is None:
            # Without ears nothing that is known stays true.
            if self._heard is not None:
                self._heard, self._verified = None, float("-inf")
            return
        before, end = self._heard, channel.tail.cursor
        if before is not None and end.epoch == before.epoch and end.offset <= before.offset:
            # What this node has told itself comes back a moment later.
            return
        self._heard = end
        # What was there when we began to listen may be of long ago.
        if before is not None and channel.tail.events:
            self._know(Representation.of(channel.tail.events[-1].data))
            self._verified = self._sharing.hub.now()

    def _know(self, representation: Representation) -> None:
        self._sharing.size -= self.size
        self.known = representation
        self._sharing.size += self.size

    @property
    def size(self) -> int:
        """Bytes of the body that is kept."""
        return 0 if self.known is None else len(self.known.body)

    # Looking

    def _turn(self, now: float) -> str:
        """A name for this look that all nodes give it that are due at the same time."""
        pause = self._pace.pause
        return f"{pause:g}:{int(self._sharing.hub.clock() / pause)}"

    def _look(self, turn: str = "") -> None:
        if self._looking:
            return
        self._looking = True
        self._sharing.hub.wheel.clear(self)
        self._sharing.origin.keep(self._looks(turn))

    async def _looks(self, turn: str) -> None:
        try:
            while True:
                self._again = False
                if turn and not self._takers and not await self._sharing.claim(self.channel, turn):
                    # Another node looks, and publishes if there is something new.
                    if self.route.step == "poll":
                        self._verified = self._sharing.hub.now()
                else:
                    await self._look_once()
                turn = ""
                if not (self._again or self._takers):
                    break
        finally:
            self._looking = False
            self._takers.all(False)
            self._schedule()

    async def _attend(self) -> None:
        """Wait until it is known where the channel ends: from there on every change is heard, and
        what was told before is seen by a look that begins now.
        """
        hub = self._sharing.hub
        channel = hub.shelf.get(self.channel)
        if channel is not None and channel.tail is None and not hub.doubt.deaf:
            loaded: asyncio.Future[None] = asyncio.get_running_loop().create_future()

            def done(error: StoreError | None) -> None:
                if not loaded.done():
                    loaded.set_result(None)

            hub.ask_tail(channel, done)
            await loaded

    async def _look_once(self) -> None:
        sharing = self._sharing
        await self._attend()
        self._listen()
        self._number = number = self._number + 1
        before = self._heard
        begun = sharing.hub.now()
        look = await sharing.fetching.look(self.key, self._pairs, self.known)
        match look:
            case Failed():
                self._failed(look)
            case Alone(reason):
                sharing.told_alone(self.key, self.route, reason)
                self._let_pass()
            case Found(_, vary) if sharing.vary(self.key, self.route, vary):
                # It depends on headers that the key left out: whoever waits for it asks by another.
                self._let_pass()
            case Found(representation):
                await self._found(representation, before, begun, number)
            case Unchanged():
                assert self.known is not None
                self._settled(begun, changed=False)
                self._takers.found(number, self.known)

    def _let_pass(self) -> None:
        """Have requests pass through for a while, those that wait already as soon as they ask
        again.
        """
        self.alone_until = self._sharing.hub.now() + ALONE_SECONDS
        self._takers.all(False)
        self._sharing.dismiss(self)

    async def _found(
        self, representation: Representation, before: Cursor | None, begun: float, number: int
    ) -> None:
        known = self.known
        changed = known is None or representation.tag != known.tag
        if known is not None and changed:
            outcome = await self._publish(representation, before)
            if isinstance(outcome, Mismatch):
                # Another node was faster; which of the two is newer only the origin knows.
                self._heard, self._again = outcome.last, True
                return
            if isinstance(outcome, StoreError):
                self._failed(Failed(Problem("store-unavailable", str(outcome))))
                return
        self._know(representation)
        self._settled(begun, changed=changed and known is not None)
        self._takers.found(number, representation)

    def _settled(self, begun: float, *, changed: bool) -> None:
        self._verified = begun
        self._pace.settled(changed=changed)

    async def _publish(self, representation: Representation, before: Cursor | None) -> Outcome:
        """Tell all who wait, on all nodes, unless another node told something since `before`."""
        expect = None
        if before is not None:
            expect = Expect(frozenset({before})) if before.offset else NO_VALUE
        told = Append(self.channel, representation.draft(), REGISTER, expect)
        (outcome,) = await append(self._sharing.hub.store, told)
        if isinstance(outcome, Appended):
            self._heard, self.published = outcome.cursor, True
        return outcome

    def _failed(self, failed: Failed) -> None:
        """The origin could not say: who asks hears so; who waits goes on waiting, until the end."""
        problem = self._pace.failed(failed)
        self._takers.all(failed.representation or problem)

    def _schedule(self) -> None:
        """Set the next look, or the end."""
        if self._looking or self.tick:
            return
        hub = self._sharing.hub
        now = hub.now()
        polls = self.route.step == "poll" or self._pace.problem is not None
        hub.wheel.set(self, now + (self._pace.pause if polls else LINGER_SECONDS))

    @property
    def facts(self) -> Facts:
        """What the console shows of it, beside what is public."""
        return Facts(self._number, self._verified, self._pace)

    def __repr__(self) -> str:
        return f"<Resource {self.key.url} {self.known!r}>"
