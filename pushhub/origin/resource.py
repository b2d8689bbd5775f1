"""A resource of the origin that somebody waits on, or reads from memory: asked for once for all.

A waiting request is registered on the resource's channel before the fetch, so it misses no change.
With the newest representation it parks; any other waits for a fetch that begins after it came. A
change is published to the channel, where it answers every hold, on all nodes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.hub.hold import Hold
from pushhub.hub.wheel import OFF
from pushhub.origin.fetching import Alone, Failed, Found, Unchanged
from pushhub.origin.known import Known, waits_by
from pushhub.origin.pace import Pace
from pushhub.origin.report import Facts
from pushhub.origin.resource_channel import ResourceChannel
from pushhub.origin.takers import Taker, Takers
from pushhub.origin.waiting import Waiting
from pushhub.protocol.answer import Answer, Part
from pushhub.protocol.poll import AT_ONCE
from pushhub.protocol.problem import Problem
from pushhub.protocol.representation import Representation
from pushhub.store.base import Mismatch, StoreError

if TYPE_CHECKING:
    from pushhub.origin.asked import Pairs
    from pushhub.origin.key import Key
    from pushhub.origin.sharing import Sharing
    from pushhub.origin.wish import Wish
    from pushhub.protocol.condition import Condition
    from pushhub.protocol.poll import Hint
    from pushhub.settings.origin import Route
    from pushhub.store.base import Expect

# Clients of one resource are mostly of one mind: the newest tag, and the wait of their library.
MAX_POLLS = 16
LATE = "The origin did not answer during the wait."
# For how long what cannot be shared is passed through without another look.
ALONE_SECONDS = 60.0


class Resource:
    """What one node knows of a resource, and who waits there for a look."""

    __slots__ = ("_again", "_known", "_looking", "_number", "_pace", "_pairs", "_polls",
                 "_sharing", "_takers", "_verified", "alone_until", "key", "left", "log",
                 "route", "tick", "told_by")  # fmt: skip

    def __init__(
        self, sharing: Sharing, route: Route, key: Key, pairs: Pairs, told_by: str | None
    ) -> None:
        self._sharing = sharing
        self.route = route
        self.key = key
        # A public channel whose events say that the resource changed.
        self.told_by = told_by
        self._pairs = pairs
        self._known = Known()
        self.log = ResourceChannel(sharing.hub, key.channel)
        # When the origin, or a node that asked it, last said that `known` is true.
        self._verified = float("-inf")
        self._number = 0
        self._looking = False
        self._again = False
        self._takers = Takers()
        self._polls: dict[tuple[Condition, int], Waiting] = {}
        self._pace = Pace(route, sharing.uniform)
        self.alone_until = 0.0
        # When the last one who waited here has gone.
        self.left = 0.0
        self.tick = OFF

    @property
    def channel(self) -> str:
        """Where changes are told."""
        return self.key.channel

    @property
    def known(self) -> Representation | None:
        """The newest that was found or received."""
        return self._known.representation

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
        hub = self._sharing.hub
        # Who only reads takes a look that began before it came, as any cache would give it.
        number = self._number + (1 if wish.wait is not None or not self._looking else 0)
        taker = Taker(hub, wish.condition if wish.wait is not None else None, number)
        hold: Hold | None = None
        if wish.wait is not None:
            if wish.condition is not None:
                # First of all: whatever is published from now on answers it.
                parked = self._park(wish.condition, wish.wait)
                if not isinstance(parked, Hold):
                    return parked
                hold = parked
            hub.wheel.set(taker, hub.now() + wish.wait)
            if hold is not None:
                hold.attach(taker)
        self._takers.add(taker)
        try:
            self._look()
            verdict = await taker.decided
            if verdict is True and hold is not None and not hold.done:
                hold.driver = None
                parked, hold = hold, None
                return parked
        finally:
            self._takers.remove(taker)
            hub.wheel.clear(taker)
            if hold is not None:
                hold.drop()
        if isinstance(verdict, Problem):
            raise verdict
        if isinstance(verdict, Answer):
            return verdict
        if isinstance(verdict, Representation):
            return self._given(verdict, wish)
        return None if verdict is False else self._late(wish)

    def _late(self, wish: Wish) -> Answer:
        """The end of a wait in which the origin has not answered."""
        assert wish.wait is not None
        known = self.known
        if wish.condition is not None:
            return self.nothing(wish.condition, wish.wait, AT_ONCE)
        if known is None or self._pace.problem is not None:
            return self._sharing.refuse(self._pace.problem or Problem("origin-timeout", LATE))
        return known.answer(wish.wait)

    def _given(self, representation: Representation, wish: Wish) -> Answer:
        condition = wish.condition
        if wish.wait is None and condition is not None and not condition.is_new(representation):
            return representation.unchanged()
        failed = representation.status == 429 or representation.status >= 500
        waits = not failed and waits_by(condition, representation)
        return representation.answer(wish.wait if waits else None)

    def _park(self, condition: Condition, wait: int) -> Answer | Hold:
        held = self._sharing.hub.hold(self._poll(condition, wait))
        assert not isinstance(held, Part), "only a stream is answered in parts"
        if self.left:
            # Its clients were away between two polls, and the pace goes on.
            self.left = 0.0
            self._sharing.hub.wheel.clear(self)
            self._schedule(since=self._verified)
        else:
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
        if (newer := self._known.newer(condition)) is not None:
            return newer.answer(wait if waits_by(condition, newer) else None, hint)
        if known is None or condition.is_new(known):
            # Nobody could say whether there is something new.
            return self._sharing.refuse(Problem("origin-timeout", LATE))
        match self.route.nothing:
            case "same" if wait is not None:
                return known.repeated(wait, hint)
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
            if self.route.step == "poll" or self._pace.retries:
                self._look(self._turn(now), paced=True)
            else:
                self._schedule()
        elif not self.left:
            self.left = now
            self._sharing.hub.wheel.set(self, now + self.route.linger)
        elif now - self.left >= max(self.route.linger, self.route.max_age):
            self._sharing.forget(self)
        else:
            left = self.left + max(self.route.linger, self.route.max_age)
            self._sharing.hub.wheel.set(self, left)

    @property
    def waiting(self) -> bool:
        """Whether anybody waits for it."""
        return bool(self._takers) or self._sharing.hub.holds_on(self.channel) > 0

    def _is_fresh(self, now: float) -> bool:
        """Whether `known` is as new as it gets without asking."""
        if self._pace.retries or self.log.position is None:
            return False
        if self.route.step == "notify":
            return self._verified > float("-inf")
        return now - self._verified <= self._pace.freshness

    def _listen(self) -> None:
        """Take in what other nodes have published."""
        received = self.log.receive()
        if isinstance(received, Representation):
            self._know(received)
            self._verified = self._sharing.hub.now()
        elif not received:
            self._verified = float("-inf")

    def _know(self, representation: Representation) -> None:
        self._sharing.size -= self.size
        self._known.learn(representation)
        self._sharing.size += self.size

    @property
    def size(self) -> int:
        """Bytes of the body that is kept."""
        return self._known.size

    # Looking

    def _turn(self, now: float) -> str:
        """A name for this look that all nodes give it that are due at the same time."""
        pause = self._pace.pause
        return f"{pause:g}:{int(self._sharing.hub.clock() / pause)}"

    def _look(self, turn: str = "", *, paced: bool = False) -> None:
        if self._looking:
            return
        self._looking = True
        self._sharing.hub.wheel.clear(self)
        self._sharing.origin.keep(self._looks(turn, paced))

    async def _looks(self, turn: str, paced: bool) -> None:
        """Look, and again at once for requests and notifications that came during the look: each
        round decides all requests that came before it. What must be tried again has its pause.
        """
        try:
            needed = True
            while needed:
                self._again = False
                if turn and not self._takers and not await self._sharing.claim(self.channel, turn):
                    # Another node looks, and publishes if there is something new.
                    if self.route.step == "poll":
                        self._verified = self._sharing.hub.now()
                else:
                    await self._look_once(paced)
                turn, paced = "", False
                if self._takers.overdue(self._number):
                    self._sharing.stalled(self, "a fetch has ended, and its requests still wait")
                    break
                needed = bool(self._takers) or (self._again and self.waiting)
        finally:
            self._looking = False
            self._takers.all(False)
            self._schedule()

    async def _look_once(self, paced: bool) -> None:
        sharing = self._sharing
        await self.log.listen()
        self._listen()
        self._number = number = self._number + 1
        expected = self.log.expected
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
                if await self._found(representation, expected, begun, paced=paced):
                    self._takers.found(number, representation)
            case Unchanged():
                assert self.known is not None
                self._verified = begun
                self._pace.settled(changed=False, paced=paced)
                self._takers.found(number, self.known)

    def _let_pass(self) -> None:
        """Have requests pass through for a while, those that wait already as soon as they ask
        again.
        """
        self.alone_until = self._sharing.hub.now() + ALONE_SECONDS
        self._takers.all(False)
        self._sharing.dismiss(self)

    async def _found(
        self,
        representation: Representation,
        expected: Expect | None,
        begun: float,
        *,
        paced: bool,
    ) -> bool:
        """Publish what a look has found, if it is new; whether requests may be given it."""
        known = self.known
        changed = known is not None and representation.tag != known.tag
        if changed:
            outcome = await self.log.publish(representation, expected)
            if isinstance(outcome, Mismatch):
                self._contested()
                # A look that began after a request is new enough for it, whichever is newer.
                return True
            if isinstance(outcome, StoreError):
                self._failed(Failed(Problem("store-unavailable", outcome.public)))
                return False
        self._know(representation)
        self._verified = begun
        self._pace.settled(changed=changed, paced=paced)
        return True

    def _contested(self) -> None:
        """Another node has published since this one began to look."""
        self._verified = float("-inf")
        if not self._pace.contested():
            self._sharing.stalled(self, "what was found cannot be published")
            why = "The change cannot be published; try later."
            self._pace.failed(Failed(Problem("store-unavailable", why)))

    def _failed(self, failed: Failed) -> None:
        """The origin could not say: who asks hears so; who waits goes on waiting, until the end."""
        problem = self._pace.failed(failed)
        self._takers.all(failed.representation or problem)

    def _schedule(self, since: float = float("inf")) -> None:
        """Set the next look, a pause from now, or from an earlier moment; or the end."""
        if self._looking or self.tick:
            return
        hub = self._sharing.hub
        now = hub.now()
        polls = self.route.step == "poll" or self._pace.retries
        pause = self._pace.pause if polls else self.route.linger
        hub.wheel.set(self, max(now, min(since, now) + pause))

    @property
    def facts(self) -> Facts:
        """What the console shows of it, beside what is public."""
        return Facts(self._number, self._verified, self._pace)

    def __repr__(self) -> str:
        return f"<Resource {self.key.url} {self.known!r}>"
