"""Faults that are put into pushhub by hand, to show that the simulation finds each.

A fault is a function that patches what it is named after; `monkeypatch` takes it out again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from pushhub.hub import jitter
from pushhub.hub.channel import Channel
from pushhub.hub.channel_hold import ChannelHold, GrantedHold
from pushhub.hub.channels import ChannelTable
from pushhub.hub.feed_monitor import UNSURE, FeedMonitor
from pushhub.hub.hold import Hold
from pushhub.hub.hub import Hub
from pushhub.hub.tail import Tail
from pushhub.hub.wheel import OFF, Entry, Wheel
from pushhub.log.cursor import Cursor, Since
from pushhub.log.read import Page
from pushhub.origin.client.pool import CHECK_SECONDS, ConnectionPool, OriginClient
from pushhub.origin.shared import fetch_pace, resource_channel
from pushhub.origin.shared.fetch_budget import Budget, budget_of
from pushhub.origin.shared.poll_interval import PollInterval
from pushhub.origin.shared.resource import Resource
from pushhub.origin.shared.resource_channel import ResourceChannel
from pushhub.origin.shared.table import ResourceTable
from pushhub.polls.base import NO_HINT, Hint
from pushhub.server.http1.request_cache import GenerationCache
from pushhub.store import memory
from pushhub.store.base import REGISTER, Expect
from pushhub.store.read_range import ReadRange
from pushhub.testing.simulation.plan import Plan
from pushhub.xmpp.cluster.migration import Migration, migration_key

if TYPE_CHECKING:
    from pushhub.http.problem import Problem
    from pushhub.log.event import Event
    from pushhub.origin.client.connection import UpstreamConnection
    from pushhub.origin.shared.fetcher import FetchFailed

Patch = Callable[[pytest.MonkeyPatch], None]


def second_change(patch: pytest.MonkeyPatch) -> None:
    """The fault behind the simulation: a forgotten resource's channel is expected to have a value,
    and a mismatch is tried again immediately, for ever.
    """

    def expected(self: ResourceChannel) -> Expect | None:
        return None if self.position is None else Expect(frozenset({self.position}))

    def conflicted(self: Any) -> None:
        self.state.verified, self._refetch = float("-inf"), True

    patch.setattr(ResourceChannel, "expected", property(expected))
    patch.setattr(Resource, "_conflicted", conflicted)


def leaked_hold(patch: pytest.MonkeyPatch) -> None:
    """The hold of a client that has disconnected stays on its channels until its deadline, and is
    never counted off.
    """

    def drop(self: ChannelHold) -> None:
        self.done = True

    patch.setattr(ChannelHold, "drop", drop)


def outlived_token(patch: pytest.MonkeyPatch) -> None:
    """A hold does not look at its grant when it completes, and its deadline ignores it."""

    def init(self: GrantedHold, hub: Any, poll: Any, grant: Any) -> None:
        ChannelHold.__init__(self, hub, poll)
        self.grant, self.latest = grant, float("inf")

    patch.setattr(GrantedHold, "__init__", init)
    patch.setattr(GrantedHold, "complete", ChannelHold.complete)


def missed_wake(patch: pytest.MonkeyPatch) -> None:
    """One event in forty reaches the tail, and none of those who wait for it."""
    wake, numbers = Hub.wake, count(1)

    def some(self: Hub, event: Event) -> None:
        channel = self.channels.get(event.channel)
        if next(numbers) % 40 or channel is None:
            wake(self, event)
        else:
            self.channels.push(channel, event)

    patch.setattr(Hub, "wake", some)


def channel_for_ever(patch: pytest.MonkeyPatch) -> None:
    """A channel that was left is never let go of."""
    patch.setattr(ChannelTable, "sweep", lambda self: None)


def endless_linger(patch: pytest.MonkeyPatch) -> None:
    """A resource is fetched on although nobody waits."""
    patch.setattr(Resource, "has_waiters", property(lambda self: True))


def register_left(patch: pytest.MonkeyPatch) -> None:
    """A resource's register has no age, and stays in the store when its last node forgets it."""
    patch.setattr(resource_channel, "RETENTION", REGISTER)
    patch.setattr(ResourceTable, "forget", lambda self, resource: _forget(self, resource))


def _forget(table: ResourceTable, resource: Resource) -> None:
    table.hub.wheel.clear(resource)
    table._resources.pop(resource.channel, None)
    table.size -= resource.size


def skipped_event(patch: pytest.MonkeyPatch) -> None:
    """Of many events at a time the first is left out."""
    read = Tail.read

    def short(self: Tail, since: Since, limit: int) -> Page | None:
        page = read(self, since, limit)
        if page is not None and len(page.events) > 2 and isinstance(since, Cursor):
            return Page(page.events[1:], page.cursor, page.up_to_date)
        return page

    patch.setattr(Tail, "read", short)


def early_end(patch: pytest.MonkeyPatch) -> None:
    """Waits end up to half their time early."""
    patch.setattr(jitter, "JITTER", 0.5)


def late_end(patch: pytest.MonkeyPatch) -> None:
    """The deadline of a hold is two seconds late."""
    first = Wheel.set

    def late(self: Wheel, entry: Entry, deadline: float) -> None:
        first(self, entry, deadline + 2 if isinstance(entry, Hold) else deadline)

    patch.setattr(Wheel, "set", late)


def swallowed_gap(patch: pytest.MonkeyPatch) -> None:
    """A cursor of an older epoch is taken for one of the present epoch."""
    locate = ReadRange.locate

    def careless(self: ReadRange, since: Since) -> Any:
        if isinstance(since, Cursor) and since.offset <= self.top:
            since = Cursor(self.epoch, since.offset)
        return locate(self, since)

    patch.setattr(ReadRange, "locate", careless)


def false_gap(patch: pytest.MonkeyPatch) -> None:
    """The oldest position from which nothing is missing counts as trimmed."""
    locate = ReadRange.locate

    def strict(self: ReadRange, since: Since) -> Any:
        if isinstance(since, Cursor) and since.offset == self.oldest - 1 and self.oldest > 1:
            since = Cursor(since.epoch, self.oldest - 2)
        return locate(self, since)

    patch.setattr(ReadRange, "locate", strict)


def silent_drain(patch: pytest.MonkeyPatch) -> None:
    """A node that leaves forgets a held request."""
    patch.setattr(
        Hub, "end", lambda self, hold, hint: None if self.draining else _end(self, hold, hint)
    )


_end = Hub.end


def retry_without_pause(patch: pytest.MonkeyPatch) -> None:
    """An origin that fails is asked again immediately. A millisecond, because the pause is also a
    divisor.
    """
    failed = PollInterval.failed

    def hasty(self: PollInterval, failure: FetchFailed) -> Problem:
        problem = failed(self, failure)
        self.pause = 0.001
        return problem

    patch.setattr(PollInterval, "failed", hasty)


def no_budget(patch: pytest.MonkeyPatch) -> None:
    """Every node fetches as often as its routes say."""

    def unlimited(*args: Any) -> Budget:
        return budget_of(*args)._replace(rate=1000.0, interval=0.0)

    patch.setattr(fetch_pace, "budget_of", unlimited)


def timer_set_twice(patch: pytest.MonkeyPatch) -> None:
    """An entry with a new deadline stays at its old one, too, and expires at both."""
    first = Wheel.set

    def twice(self: Wheel, entry: Entry, deadline: float) -> None:
        entry.tick = OFF
        first(self, entry, deadline)

    patch.setattr(Wheel, "set", twice)


def session_taken_twice(patch: pytest.MonkeyPatch) -> None:
    """A node takes a session that was handed over, and leaves its state to the next one."""
    take = Migration.take

    async def unclaimed(self: Migration, sid: str, node: str) -> tuple[Any, str | None]:
        record = await self._kv.stored_json(migration_key(sid)) or {}
        if "state" in record:
            return record["state"], node
        return await take(self, sid, node)

    patch.setattr(Migration, "take", unclaimed)


def forgotten_key(patch: pytest.MonkeyPatch) -> None:
    """An idempotency key is kept for one second in place of 300."""
    patch.setattr(memory, "IDEMPOTENCY_SECONDS", 1)


def receipt_ignored(patch: pytest.MonkeyPatch) -> None:
    """A tail that is behind a receipt counts as the end of the log."""
    patch.setattr(Channel, "expect", lambda self, cursor: None)


def log_not_read(patch: pytest.MonkeyPatch) -> None:
    """A wait ends with "nothing new" by the feed alone, which may have lost a message."""

    def hint(self: FeedMonitor, hold: ChannelHold, certain: bool) -> Hint | None:
        return UNSURE if self.disconnected else NO_HINT

    patch.setattr(FeedMonitor, "hint", hint)


def feed_trusted(patch: pytest.MonkeyPatch) -> None:
    """A feed that was restored counts as one that was never lost."""

    patch.setattr(Hub, "restored", lambda self: self.feed_monitor.restored())


def endless_timer(patch: pytest.MonkeyPatch) -> None:
    """The check of the connections to the origin goes on when there are none."""
    check = OriginClient._check_deadlines

    def again(self: OriginClient) -> None:
        check(self)
        if self._timer is None:
            self._timer = self._loop.call_later(CHECK_SECONDS, self._check_deadlines)

    patch.setattr(OriginClient, "_check_deadlines", again)


def kept_connection(patch: pytest.MonkeyPatch) -> None:
    """A pool remembers a connection that the origin has closed, with all that it has read."""

    def released(self: ConnectionPool, connection: UpstreamConnection) -> None:
        was = connection in self.connections
        _released(self, connection)
        if was:
            self.connections.add(connection)

    patch.setattr(ConnectionPool, "released", released)


_released = ConnectionPool.released


def useless_cache(patch: pytest.MonkeyPatch) -> None:
    """What a request means is remembered under a key that never comes again."""
    put, numbers = GenerationCache.put, count(1)

    def fresh(self: GenerationCache[Any], key: bytes, value: Any) -> None:
        put(self, key, value)
        if key in self._young:
            self._young[b"%b %d" % (key, next(numbers))] = self._young.pop(key)

    patch.setattr(GenerationCache, "put", fresh)


def uncounted_tail(patch: pytest.MonkeyPatch) -> None:
    """The bytes of a tail that is dropped stay in the sum."""

    def drop(self: ChannelTable, channel: Channel) -> None:
        channel.tail = None

    patch.setattr(ChannelTable, "drop_tail", drop)


class PlantedFault(NamedTuple):
    """A fault, the kinds of findings that show it, and the actors that meet it.

    A plan drawn from a seed has those actors by luck, and the luck changes with the order of draws.
    With its own actors a fault is found by any seed, in seconds.
    """

    plant: Patch
    kinds: frozenset[str]
    actors: Mapping[str, int]
    nodes: int = 1

    def plan(self, seed: int) -> Plan:
        """Four hours with the actors of the fault: work and pauses in turn."""
        actors = tuple(f"{kind}-{n}" for kind, many in self.actors.items() for n in range(many))
        has_xmpp = not XMPP_ACTORS.isdisjoint(self.actors)
        return Plan(seed, self.nodes, self.nodes > 1, has_xmpp, actors, PHASES)


XMPP_ACTORS = frozenset({"chatter", "couple"})
# Seconds of work, and of rest after it: more than a channel's linger, and less.
PHASES = ((180.0, 20.0), (60.0, 120.0)) * 6


PLANTED: Mapping[str, PlantedFault] = {
    "second change": PlantedFault(
        second_change,
        frozenset({"missed", "busy", "refused", "silent"}),
        {"waiter": 4, "changer": 2},
        nodes=2,
    ),
    "leaked hold": PlantedFault(
        leaked_hold, frozenset({"leak"}), {"reader": 2, "publisher": 1, "proxy": 1}
    ),
    "outlived token": PlantedFault(
        outlived_token, frozenset({"outlived"}), {"token": 4, "publisher": 3}
    ),
    "missed wake": PlantedFault(
        missed_wake, frozenset({"missed", "slow"}), {"publisher": 3, "reader": 4, "value": 2}
    ),
    "channel for ever": PlantedFault(
        channel_for_ever, frozenset({"leak"}), {"reader": 1, "publisher": 1}
    ),
    "endless linger": PlantedFault(endless_linger, frozenset({"fetch", "leak"}), {"waiter": 2}),
    "register left": PlantedFault(
        register_left, frozenset({"register", "leak"}), {"waiter": 4, "changer": 2}, nodes=2
    ),
    "skipped event": PlantedFault(
        skipped_event, frozenset({"hole"}), {"batch": 2, "reader": 2, "poller": 2}
    ),
    "early end": PlantedFault(early_end, frozenset({"early"}), {"reader": 3, "value": 1}),
    "late end": PlantedFault(late_end, frozenset({"late"}), {"reader": 3, "value": 1}),
    "swallowed gap": PlantedFault(
        swallowed_gap,
        frozenset({"silent-epoch", "hole", "content", "lost"}),
        {"publisher": 3, "reader": 3, "poller": 3, "log-loss": 2},
        nodes=2,
    ),
    "false gap": PlantedFault(
        false_gap,
        frozenset({"false-gap"}),
        {"publisher": 1, "reader": 6, "feed-loss": 2, "operator": 2},
        nodes=2,
    ),
    "silent drain": PlantedFault(
        silent_drain, frozenset({"silent", "busy", "late"}), {"reader": 4, "operator": 3}, nodes=2
    ),
    "retry without a pause": PlantedFault(
        retry_without_pause,
        frozenset({"pace", "busy"}),
        {"waiter": 3, "changer": 1, "origin-trouble": 1},
    ),
    "no budget": PlantedFault(no_budget, frozenset({"budget"}), {"waiter": 3}, nodes=2),
    "timer set twice": PlantedFault(timer_set_twice, frozenset({"timer"}), {"chatter": 4}),
    "session taken twice": PlantedFault(
        session_taken_twice,
        frozenset({"two-nodes"}),
        {"chatter": 4, "operator": 2, "couple": 1},
        nodes=2,
    ),
    "forgotten key": PlantedFault(forgotten_key, frozenset({"twice"}), {"idempotent": 2}),
    "receipt ignored": PlantedFault(
        receipt_ignored, frozenset({"stale", "own-write"}), {"careful": 10}, nodes=2
    ),
    "log not read": PlantedFault(
        log_not_read,
        frozenset({"missed"}),
        {"publisher": 2, "reader": 3, "value": 2, "feed-drop": 3},
        nodes=2,
    ),
    "feed trusted": PlantedFault(
        feed_trusted, frozenset({"slow"}), {"publisher": 3, "reader": 4, "feed-loss": 2}, nodes=2
    ),
    "endless timer": PlantedFault(endless_timer, frozenset({"leak"}), {"waiter": 1}),
    "kept connection": PlantedFault(
        kept_connection, frozenset({"leak"}), {"waiter": 3, "changer": 1, "origin-trouble": 1}
    ),
    "useless cache": PlantedFault(useless_cache, frozenset({"leak"}), {"poller": 1}),
    "uncounted tail": PlantedFault(
        uncounted_tail, frozenset({"miscount"}), {"reader": 1, "publisher": 1}
    ),
}
