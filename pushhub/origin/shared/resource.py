"""A shared resource of the origin: one fetch serves all requests that wait on it or read it.

A request that waits is registered on the resource's channel before the fetch, so it misses no
change. If its client has the newest representation, it parks. Any other request waits for a fetch
that begins after it came. A change is published to the channel, and completes every hold on all
nodes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.http.problem import Problem
from pushhub.http.response import Part, Response
from pushhub.hub.hold import Hold
from pushhub.hub.wheel import OFF, TICK_SECONDS
from pushhub.origin.shared.fetch_claims import FetchClaim
from pushhub.origin.shared.fetch_waiters import (
    FetchWaiter,
    FetchWaiters,
    Unwaitable,
    WaiterDecision,
)
from pushhub.origin.shared.fetcher import Fetched, FetchFailed, Unchanged, Unshareable
from pushhub.origin.shared.poll_interval import PollInterval
from pushhub.origin.shared.representation import Representation
from pushhub.origin.shared.resource_poll import ResourcePolls
from pushhub.origin.shared.resource_state import ResourceState, fetched_response, store_problem
from pushhub.polls.base import NO_HINT
from pushhub.store.base import Mismatch, StoreError

if TYPE_CHECKING:
    from pushhub.origin.request import Pairs
    from pushhub.origin.shared.condition import WaitCondition
    from pushhub.origin.shared.key import Key
    from pushhub.origin.shared.resource_owner import ResourceOwner
    from pushhub.origin.shared.wait_request import WaitRequest
    from pushhub.polls.base import Hint
    from pushhub.settings.route import Route

TOO_SLOW = "The origin did not respond during the wait."
# After a response that cannot be shared, requests pass through without a fetch for so long.
PASS_SECONDS = 60.0


class Resource:
    """One resource on one node, and the requests that wait for its next fetch.

    `public_channel` is a channel of the route whose events say that the resource changed.
    `fetches` counts, and numbers, the fetches. `passes_until` is set while requests pass through.
    """

    __slots__ = ("_claim", "_fetching", "_hub", "_idle_since", "_owner", "_pace", "_pairs",
                 "_polls", "_refetch", "_waiters", "fetches", "key", "passes_until",
                 "public_channel", "route", "state", "tick")  # fmt: skip

    def __init__(
        self, owner: ResourceOwner, route: Route, key: Key, pairs: Pairs, public_channel: str | None
    ) -> None:
        self._owner = owner
        self._hub = owner.hub
        self.route = route
        self.key = key
        self.public_channel = public_channel
        self._pairs = pairs
        self._pace = owner.pace_at(key.target)
        self.state = ResourceState(owner, route, key.channel)
        self.fetches = 0
        self._fetching = False
        self._refetch = False  # Whether another fetch follows the one in flight.
        self._claim = FetchClaim(owner.claims, key.channel)
        self._waiters = FetchWaiters()
        self._polls = ResourcePolls(self)
        self.passes_until = 0.0
        self._idle_since = 0.0  # When the last waiting request ended; 0 while one waits.
        self.tick = OFF

    @property
    def channel(self) -> str:
        """The channel on which nodes publish its representations."""
        return self.key.channel

    def reroute(self, route: Route, public_channel: str | None) -> None:
        """Take over the route of a new configuration. Waiting requests go on waiting."""
        self.route, self.public_channel = route, public_channel
        self.state.interval = PollInterval(route, self._owner.uniform)
        self.leave()
        self._schedule()

    # Requests

    def serve_from_memory(
        self, wait: int | None, condition: WaitCondition | None
    ) -> Response | Hold | None:
        """Respond to a request or park it without a fetch; None if it needs a fetch."""
        state = self.state
        state.receive()
        now = self._hub.now()
        newest = state.newest
        if newest is None:
            return None
        outcome: Response | Hold
        if wait is None:
            if now - state.verified > self.route.max_age:
                return None
            is_new = condition is None or condition.is_new(newest)
            outcome = newest.response() if is_new else newest.unchanged()
        else:
            if condition is None or not state.is_fresh(self.route.step, now, self._pace.interval):
                return None
            if condition.is_new(newest):
                return None
            outcome = self._park(condition, wait)
        self._owner.served_from_memory += 1
        return outcome

    async def serve_after_fetch(self, wait_request: WaitRequest) -> Response | Hold | None:
        """Respond to a request or park it after a fetch that it shares; None if it passes through.

        Raises:
            Problem: the origin does not respond.
        """
        outcome = await self._serve_after_fetch(wait_request)
        self._owner.served_after_fetch += outcome is not None
        return outcome

    async def _serve_after_fetch(self, wait_request: WaitRequest) -> Response | Hold | None:
        hub = self._hub
        wait, condition, context = wait_request.wait, wait_request.condition, wait_request.context
        # A request without a wait takes the fetch in flight, as it would take a cached response.
        number = self.fetches + (1 if wait is not None or not self._fetching else 0)
        waiter = FetchWaiter(hub, condition if wait is not None else None, number, context)
        hold: Hold | None = None
        if wait is not None:
            if condition is None:
                # The next request waits: then this fetch is fresh enough, and no other is needed.
                hub.channels.keep(self.channel)
            else:
                # Before all else: every event from now on completes the hold.
                parked = self._park(condition, wait)
                if not isinstance(parked, Hold):
                    return parked
                hold = parked
                hold.attach(waiter)
            hub.wheel.set(waiter, hub.now() + wait)
        self._waiters.add(waiter)
        try:
            # It waits for the origin, and not for a claim that the log has not settled.
            self._claim.take()
            self._start_fetching()
            outcome = await waiter.outcome
            if outcome is WaiterDecision.PARK and hold is not None and not hold.done:
                hold.driver = None
                parked, hold = hold, None
                return parked
        finally:
            self._waiters.remove(waiter)
            hub.wheel.clear(waiter)
            if hold is not None:
                hold.drop()
        if isinstance(outcome, Problem):
            raise outcome
        if isinstance(outcome, Response):
            return outcome
        if isinstance(outcome, Representation | Unwaitable):
            return fetched_response(outcome, wait_request)
        if outcome is WaiterDecision.PARK and waiter.reply is not None and condition is not None:
            # The log is unavailable, so no wait is possible: the client keeps its old interval.
            return self.end_of_wait(condition, None, NO_HINT)
        return None if outcome is WaiterDecision.PASS else self._timed_out(wait_request)

    def _timed_out(self, wait_request: WaitRequest) -> Response:
        """The response at the end of a wait in which the origin has not responded."""
        assert wait_request.wait is not None
        if wait_request.condition is not None:
            return self.end_of_wait(wait_request.condition, wait_request.wait, NO_HINT)
        self.state.receive()
        latest, problem = self.state.latest, self.state.interval.problem
        if latest is None or problem:
            return self._owner.refuse(problem or Problem("origin-timeout", TOO_SLOW))
        return latest.response(wait_request.wait)

    def _park(self, condition: WaitCondition, wait: int) -> Response | Hold:
        held = self._hub.hold(self._polls.get(condition, wait))
        assert not isinstance(held, Part), "only a stream gets parts as replies"
        if self._idle_since:
            # Its clients were between two polls. The budget of this node may have gone to others.
            self._idle_since = 0.0
            self._hub.wheel.clear(self)
            self._owner.pace_at(self.key.target)
            self._schedule(since=self.state.verified)
        else:
            self._schedule()
        return held

    def end_of_wait(self, condition: WaitCondition, wait: int | None, hint: Hint) -> Response:
        """The response at the end of a wait without a change, or the error of the last fetch."""
        problem = self.state.interval.problem
        if problem is None:
            response = self.state.end_of_wait(condition, wait, hint, self.route.nothing)
            if response is not None:
                return response
            problem = Problem("origin-timeout", TOO_SLOW)
        return self._owner.refuse(problem)

    # Events

    def notified(self, claim: str = "") -> None:
        """The resource may have changed: fetch if a request waits; else nothing is fresh any more.

        `claim` names the notification, so that one node alone fetches for all. If that node dies,
        the next request causes a fetch.
        """
        # First: an event that was published before the notification is older than it.
        self.state.receive()
        self.state.verified = float("-inf")
        if self._fetching:
            self._refetch = True
        elif self.has_waiters:
            self._start_fetching(claim)

    def expire(self) -> None:
        """The pause has ended, or no request has waited for long."""
        now = self._hub.now()
        if self._fetching:
            return
        if self.has_waiters:
            self._idle_since = 0.0
            if self._is_polled:
                if self._pace.admit(self, now):
                    self.fetch_in_turn()
            else:
                self._schedule()
        elif not self._idle_since:
            self._idle_since = now
            self._hub.wheel.set(self, now + self.route.linger)
        elif (end := self._idle_since + max(self.route.linger, self.route.max_age)) <= now:
            self._owner.forget(self)
        else:
            self._hub.wheel.set(self, end)

    def fetch_in_turn(self) -> None:
        """Fetch, as the pace of the origin allows now, unless another node does."""
        # The claim has the same name on all nodes with the same interval.
        claim = self._owner.turns.turn(self._pause, self._hub.now())
        self._start_fetching(claim, scheduled=True)

    def leave(self) -> None:
        """End: no fetch follows."""
        self._hub.wheel.clear(self)
        self._pace.remove(self)

    @property
    def has_waiters(self) -> bool:
        """Whether a request waits on it."""
        return bool(self._waiters) or self._hub.holds_on(self.channel) > 0

    @property
    def waiters(self) -> int:
        """The number of requests that wait on it. Most that wait for a fetch have a hold, too."""
        return max(len(self._waiters), self._hub.holds_on(self.channel))

    @property
    def polls(self) -> bool:
        """Whether it is fetched again and again: requests wait on it, or did so until now."""
        return self._is_polled and not (self._idle_since and not self.has_waiters)

    @property
    def stretched(self) -> float:
        """The shortest interval of all resources of its origin; 0 while it is not stretched."""
        return self._pace.interval

    @property
    def _pause(self) -> float:
        return max(self.state.interval.pause, self._pace.interval)

    @property
    def _is_polled(self) -> bool:
        """Whether waiting requests cause a fetch after each pause."""
        return self.route.step == "poll" or self.state.interval.is_retrying

    @property
    def passes_through(self) -> bool:
        """Whether its requests pass through at the moment, because it cannot be shared."""
        return self.passes_until > self._hub.now()

    @property
    def missed_events(self) -> bool:
        """Whether events of its channel may be missing in memory."""
        return self.state.events.is_lost

    @property
    def size(self) -> int:
        """Bytes of the bodies that are kept: of the response, and of the request."""
        return self.state.size + len(self.key.body or b"")

    # Fetches

    def _start_fetching(self, claim: str = "", *, scheduled: bool = False) -> None:
        if self._fetching:
            return
        self._fetching = True
        self.leave()
        self._owner.spawn(self._fetch_while_needed(claim, scheduled))

    async def _fetch_while_needed(self, claim: str, scheduled: bool) -> None:
        """Fetch, and again immediately for requests and notifications that came during the fetch:
        each round resolves all requests that came before it. Retries have their pause.
        """
        try:
            needed = True
            while needed:
                self._refetch = False
                if claim and not self._waiters and not await self._claim.acquire(claim):
                    # Another node fetches, and publishes a change.
                    if scheduled:
                        self._pace.tokens.refund()
                    if self.route.step == "poll":
                        self.state.verified = self._hub.now()
                else:
                    if not scheduled:
                        self._pace.tokens.spend(self._hub.now())
                    await self._fetch_once(scheduled)
                claim, scheduled = "", False
                if self._waiters.is_overdue(self.fetches):
                    reason = "a fetch has ended, and its requests still wait"
                    self._owner.unshared.stalled(self.key, self.route, reason)
                    break
                needed = bool(self._waiters) or (self._refetch and self.has_waiters)
        finally:
            self._fetching = False
            self._waiters.resolve_all(WaiterDecision.PASS)
            self._schedule()

    async def _fetch_once(self, scheduled: bool) -> None:
        owner, state, fetch = self._owner, self.state, self._owner.fetcher.fetch
        may_wait = await state.events.wait_until_loaded()
        state.receive()
        self.fetches = number = self.fetches + 1
        expected = state.events.expected
        begun = self._hub.now()
        result = await fetch(self.key, self._pairs, state.newest, self.route, self._waiters)
        match result:
            case FetchFailed():
                # Requests for it get the error, and holds go on waiting.
                problem = state.interval.failed(result)
                self._waiters.resolve_all(result.representation or problem)
            case Unshareable(reason):
                owner.unshared.unshareable(self.key, self.route, reason)
                self._pass_through()
            case Fetched(_, vary) if owner.learn_vary(self.key, self.route, vary):
                # The response depends on headers outside the key: its requests need other keys.
                self._pass_through()
            case Fetched(representation):
                before = state.newest
                failure = await state.update(representation, expected, begun, scheduled=scheduled)
                may_wait = may_wait and not isinstance(failure, StoreError)
                if isinstance(failure, Mismatch):
                    self._conflicted()
                elif failure is None and representation.always_new and before is not None:
                    owner.unshared.always_new(self.key, self.route, before, representation)
                # A fetch that began after a request is recent enough for it, conflict or not.
                self._waiters.fetched(number, representation, may_wait=may_wait)
            case Unchanged():
                assert state.newest is not None
                state.confirm(begun, scheduled=scheduled)
                self._waiters.fetched(number, state.newest, may_wait=may_wait)

    def _pass_through(self) -> None:
        """Let requests pass through for a while; those that wait, with their next poll."""
        self.passes_until = self._hub.now() + PASS_SECONDS
        self._waiters.resolve_all(WaiterDecision.PASS)
        self._owner.end_waits(self)

    def _conflicted(self) -> None:
        """Another node has published since this fetch began."""
        if not self.state.interval.conflicted():
            self._owner.unshared.stalled(self.key, self.route, "a change cannot be published")
            problem = store_problem("The change cannot be published; try later.")
            self.state.interval.failed(FetchFailed(problem))

    def _schedule(self, since: float = float("inf")) -> None:
        """Set the timer for the next fetch, a pause from now or from earlier; or for the end."""
        if self._fetching or self.tick or self._pace.is_queued(self):
            return
        now = self._hub.now()
        pause = self._pause if self._is_polled else self.route.linger
        self._hub.wheel.set(self, max(now, min(since, now) + pause))

    def hasten(self, stretched: float) -> None:
        """Bring the timer of the next fetch forward: the interval of the origin has become shorter
        than `stretched`, and would otherwise count only after that fetch.
        """
        if self.tick and self._is_polled and not self._idle_since:
            planned, interval = (self.tick - 1) * TICK_SECONDS, self.state.interval
            due = interval.hastened(planned, self.state.verified, stretched, self._pace.interval)
            self._hub.wheel.set(self, max(self._hub.now(), due))

    def __repr__(self) -> str:
        return f"<Resource {self.key.url} {self.state.newest!r}>"
