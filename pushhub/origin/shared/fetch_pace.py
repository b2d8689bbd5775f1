"""The pace of all shared fetches: one budget for each origin, over all workers and nodes.

A node measures its demand once a second. Where nodes share a log, it publishes the demand in
heartbeats, and takes the share of the budget that belongs to its part of all demands. While the log
is unavailable, each node keeps its last share, so that the sum stays within the budget. A node that
has received none of its own heartbeats for some seconds stops its paced fetches: it cannot publish
what they find, and other nodes then take over its share.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import structlog

from pushhub.hub.subscription import Subscription
from pushhub.hub.wheel import OFF, TICK_SECONDS
from pushhub.log.cursor import Start
from pushhub.log.event import Draft
from pushhub.origin.shared.fetch_budget import NOTHING, Budget, Demand, budget_of, step_of
from pushhub.origin.shared.node_demands import DemandHeartbeat, NodeDemands, origin_id, sample_size
from pushhub.origin.shared.origin_pace import OriginPace
from pushhub.origin.shared.turn_clock import TurnClock
from pushhub.store.base import Append, Retention

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pushhub.hub.hub import Hub
    from pushhub.log.event import Event
    from pushhub.origin.shared.resource import Resource
    from pushhub.settings import Settings
    from pushhub.store.base import Outcome

log = structlog.get_logger(__name__)

CHANNEL = "$origin:pace"
# A node that starts reads the last heartbeats of the others.
RETENTION = Retention(events=256, age=20)
SAMPLE_SECONDS = 1.0
HEARTBEAT_SECONDS = 2.0

_step_of = lru_cache(maxsize=1024)(step_of)


def _targets(settings: Settings) -> frozenset[str]:
    """The origins of the routes."""
    targets = (settings.origin, *(route.target for route in settings.routes))
    return frozenset(target for target in targets if target)


@dataclass(slots=True)
class _Count:
    """What waits at one origin."""

    waiters: int = 0
    steps: dict[int, int] = field(default_factory=dict)
    hashes: list[int] = field(default_factory=list)

    def demand(self, size: int) -> Demand:
        """The demand, with a sample of so many hashes."""
        sample = tuple(heapq.nsmallest(size, self.hashes))
        return Demand(self.waiters, tuple(sorted(self.steps.items())), sample)


class FetchPace:
    """The budgets of one node, by the origin's URL; an entry of the hub's wheel while it is open.

    `fetch_rate` and `replaces` are the settings of these names.
    """

    def __init__(
        self,
        hub: Hub,
        resources: Callable[[], Iterable[Resource]],
        settings: Settings,
        new_name: Callable[[], str],
    ) -> None:
        self._hub = hub
        self._resources = resources
        self._new_name = new_name
        self.fetch_rate, self.replaces = settings.fetch_rate, settings.replaces
        self._routed = _targets(settings)
        self.origins: dict[str, OriginPace] = {}
        self.turns = TurnClock()
        self.tick = OFF
        self._is_open = False
        # None where no other node shares the log.
        self._nodes: NodeDemands | None = None
        self._subscription: Subscription | None = None
        self._sampled = self._sent = float("-inf")
        # The origins in the last heartbeat, and whether the store has it.
        self._announced: frozenset[str] = frozenset()
        self._is_sending = False
        self._is_current = True
        self._can_claim = False
        # Whether a request waits, here or on another node. Without one there is nothing to measure.
        self._has_demand = False

    def configure(self, settings: Settings) -> None:
        """Use the settings of a reload."""
        self.fetch_rate, self.replaces = settings.fetch_rate, settings.replaces
        self._routed = _targets(settings)
        self._is_current = False
        self._hurry()

    def open(self) -> None:
        """Begin to measure. The hub is open."""
        self._is_open = True
        self.turns.advance(self._hub.clock(), self._hub.now())
        if not self._hub.store.certain:
            self._nodes = NodeDemands(self._new_name())
            self._subscription = Subscription(self._hub, CHANNEL, self._receive, Start.EARLIEST)
            self._subscription.start()
        self._hub.wheel.set(self, self._hub.now() + SAMPLE_SECONDS)

    def close(self) -> None:
        """Stop, and leave the share to the other nodes."""
        self._is_open = False
        if self.tick:
            self._hub.wheel.clear(self)
        if self._subscription is not None:
            self._subscription.stop()
            if self._announced:
                self._send({})

    def at(self, target: str) -> OriginPace:
        """The pace of the fetches at an origin."""
        pace = self.origins.get(target)
        if pace is None:
            rate = self.fetch_rate if self._hub.store.certain else 0.0
            hurry = partial(self._hurry, target)
            pace = self.origins[target] = OriginPace(rate, self._hub.now(), hurry)
        self._hurry(target)
        return pace

    def _hurry(self, target: str = "") -> None:
        """Expire with the next tick. An origin that is not announced has no share yet."""
        if target and self._nodes is not None and target not in self._announced:
            self._sampled = float("-inf")
        if self._is_open:
            self._hub.wheel.set(self, self._hub.now())

    # Measuring

    def expire(self) -> None:
        """A tick in which something may be due."""
        now = self._hub.now()
        # First, so that the pace goes on even if a resource raises.
        self._hub.wheel.set(self, now + SAMPLE_SECONDS)
        if now - self._sampled >= SAMPLE_SECONDS - TICK_SECONDS:
            self._sampled = now
            self._sample(now)
        if self._can_claim is not self._claims_work:
            self._can_claim, self._is_current = self._claims_work, False
        if not self._is_current:
            self._is_current = self._nodes is None or not self._share(self._nodes, now)
        is_busy = not self._is_current
        for pace in self.origins.values():
            pace.dispatch(now)
            is_busy = is_busy or len(pace) > 0
        if is_busy or self._has_demand:
            self._hub.wheel.set(self, now if is_busy else self._sampled + SAMPLE_SECONDS)
        else:
            # The next resource, waiter or heartbeat begins again.
            self._hub.wheel.clear(self)

    def _sample(self, now: float) -> None:
        if unrouted := self.origins.keys() - self._routed:
            # Requests may still wait on resources of a route that a reload has removed.
            used = {resource.key.target for resource in self._resources()}
            for target in unrouted - used:
                del self.origins[target]
        counts: defaultdict[str, _Count] = defaultdict(_Count)
        for resource in self._resources():
            waiters, due = resource.waiters, resource.polls
            if not waiters and not due:
                continue
            count = counts[resource.key.target]
            count.waiters += waiters
            if due:
                step = _step_of(resource.state.interval.pause)
                count.steps[step] = count.steps.get(step, 0) + 1
                if self._nodes is not None:
                    count.hashes.append(int(resource.channel[-8:], 16))
        size = sample_size(len(counts))
        demands = {target: count.demand(size) for target, count in counts.items()}
        if self._nodes is None:
            self._has_demand = bool(demands)
            for target, pace in self.origins.items():
                demand = demands.get(target, NOTHING)
                budget = budget_of([demand], self.fetch_rate, self.replaces)
                self._apply(target, pace, budget)
                pace.tokens.set(budget.rate, now, self.replaces)
            return
        self._is_current = False
        self._nodes.expire(now)
        new = demands.keys() - self._announced
        is_due = now - self._sent >= HEARTBEAT_SECONDS and (demands or self._announced)
        if not self._is_sending and (new or is_due):
            self._send(demands)
        if not (demands or self._announced or self._is_sending):
            self._nodes.withdraw()
        self._has_demand = bool(demands or self._announced or self._is_sending or len(self._nodes))

    def _apply(self, target: str, pace: OriginPace, budget: Budget) -> None:
        if bool(budget.interval) != bool(pace.interval):
            event = "origin.pace_stretched" if budget.interval else "origin.pace_restored"
            self._hub.log.info(
                log,
                event,
                key=target,
                origin=target,
                interval=round(budget.interval, 2),
                budget=round(budget.rate, 2),
                due=round(budget.due, 2),
                waiting=budget.waiters,
            )
        before, pace.budget = pace.budget.interval, budget
        if budget.interval < before:
            for resource in self._resources():
                if resource.key.target == target:
                    resource.hasten(before)

    # The other nodes

    def _send(self, demands: dict[str, Demand]) -> None:
        assert self._nodes is not None
        now = self._hub.now()
        by_id = {origin_id(target): demand for target, demand in demands.items()}
        draft = Draft(DemandHeartbeat(self._nodes.own, self.turns.time(now), by_id).encode())
        self._sent, self._announced, self._is_sending = now, frozenset(demands), True
        self._hub.record([Append(CHANNEL, draft, RETENTION)], self._was_sent)

    def _was_sent(self, outcomes: list[Outcome]) -> None:
        # A store that fails here is known to be unavailable elsewhere; the next heartbeat follows.
        self._is_sending = False

    @property
    def _claims_work(self) -> bool:
        """Whether nodes can agree on the one that does a fetch."""
        return self._hub.store.ready and not self._hub.feed_monitor.disconnected

    def _receive(self, event: Event) -> None:
        heartbeat = DemandHeartbeat.decode(event.data)
        if heartbeat is not None and self._nodes is not None:
            now = self._hub.now()
            self.turns.advance(heartbeat.sent, now)
            self._nodes.receive(heartbeat, now, self.turns.monotonic(heartbeat.sent))
            self._is_current = False
            # Its demand counts until it is withdrawn or expires, so that must be measured.
            self._has_demand = self._has_demand or len(self._nodes) > 0
            self._hurry()

    def _share(self, nodes: NodeDemands, now: float) -> bool:
        """Take this node's share of each budget; whether a larger one does not count yet."""
        receives_own, is_growing = nodes.receives_own(now), False
        for target, pace in self.origins.items():
            own, demands = nodes.at(origin_id(target))
            budget = budget_of(demands, self.fetch_rate, self.replaces)
            self._apply(target, pace, budget)
            share = budget.share(own, demands, claims=self._can_claim) if receives_own else 0.0
            is_growing = pace.tokens.offer(share, now, self.replaces) or is_growing
        return is_growing

    def __repr__(self) -> str:
        return f"<FetchPace of {len(self.origins)} origins>"
