"""The policy at a delivery: from memory, or after a read of the store, in order."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from pushhub.http.problem import Problem
from pushhub.hub.counted_log import CountedLog
from pushhub.hub.hold import Hold
from pushhub.log.cursor import Cursor
from pushhub.log.event import Event
from pushhub.log.grant import Action
from pushhub.log.read import Page
from pushhub.xmpp.storage.key_value import StoredValue
from pushhub.xmpp.xep.pubsub import current_policy
from pushhub.xmpp.xep.pubsub.current_policy import MAX_ATTEMPTS, CurrentPolicies
from tests.waiting import until

if TYPE_CHECKING:
    import pytest

    from pushhub.xmpp.context import Context
    from pushhub.xmpp.xep.pubsub.policy import NodePolicy

JULIET = "juliet@localhost"
CONTENT = (b"<message/>", b"")


class Memory:
    """A key-value store that has a record in memory, or returns the hold of a read."""

    def __init__(self) -> None:
        self.record: Event | Hold | None = None

    def start_read(self, key: str) -> Event | Hold | None:
        return self.record


def record(affiliation: str) -> Event:
    data = b'{"affiliations": {"%s": "%s"}}' % (JULIET.encode(), affiliation.encode())
    return Event("$xmpp:node:news", "e", 1, data, "application/octet-stream", time=0)


def page(event: Event) -> StoredValue:
    return StoredValue(b"", page=Page((event,), Cursor("e", 1), True))


def policies(memory: Memory) -> CurrentPolicies:
    settings = SimpleNamespace(is_public=lambda node: False)
    hub = SimpleNamespace(closing=False, log=CountedLog())
    context: Any = SimpleNamespace(kv=memory, policy=settings, hub=hub)
    return CurrentPolicies(cast("Context", context))


class Deliveries:
    """What was delivered, and whether juliet might read it."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, bool]] = []
        self.lost = 0

    def lose(self) -> None:
        self.lost += 1

    def number(self, number: int) -> Any:
        def deliver(policy: NodePolicy) -> None:
            self.seen.append((number, Action.READ in policy.access(JULIET).added))

        return deliver


def test_a_record_in_memory_is_used_immediately() -> None:
    memory = Memory()
    current = policies(memory)
    for affiliation, may_read in (("member", True), ("outcast", False), ("owner", True)):
        memory.record = record(affiliation)
        policy = current.get("news")
        assert policy is not None
        assert (Action.READ in policy.access(JULIET).added) is may_read


def test_deliveries_wait_for_a_read_and_keep_their_order() -> None:
    memory = Memory()
    current, deliveries = policies(memory), Deliveries()
    hold = memory.record = Hold()
    assert current.get("news") is None
    current.wait("news", deliveries.number(1), deliveries.lose, CONTENT)
    # The record is in memory by now, but an earlier item still waits.
    memory.record = record("member")
    assert current.get("news") is None
    current.wait("news", deliveries.number(2), deliveries.lose, CONTENT)
    assert not deliveries.seen
    hold.complete(page(record("member")))
    assert deliveries.seen == [(1, True), (2, True)]
    assert current.get("news") is not None


def test_a_change_during_the_read_counts() -> None:
    memory = Memory()
    current, deliveries = policies(memory), Deliveries()
    hold = memory.record = Hold()
    assert current.get("news") is None
    current.wait("news", deliveries.number(1), deliveries.lose, CONTENT)
    memory.record = record("outcast")
    hold.complete(page(record("member")))
    assert deliveries.seen == [(1, False)]


async def test_a_failed_read_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(current_policy, "RETRY_SECONDS", 0.01)
    memory = Memory()
    current, deliveries = policies(memory), Deliveries()
    first = memory.record = Hold()
    assert current.get("news") is None
    current.wait("news", deliveries.number(1), deliveries.lose, CONTENT)
    second = memory.record = Hold()
    first.complete(StoredValue(b"", problem=Problem("store-unavailable", "It is away.")))
    assert not deliveries.seen
    await until(lambda: second.driver is not None)
    second.complete(page(record("member")))
    assert deliveries.seen == [(1, True)]


async def test_a_record_is_read_so_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(current_policy, "RETRY_SECONDS", 0.0)
    memory = Memory()
    current, deliveries = policies(memory), Deliveries()
    failure = StoredValue(b"", problem=Problem("store-unavailable", "It is away."))
    hold = memory.record = Hold()
    assert current.get("news") is None
    current.wait("news", deliveries.number(1), deliveries.lose, CONTENT)
    current.wait("news", deliveries.number(2), deliveries.lose, CONTENT)
    attempts = 1
    while not deliveries.lost:
        following = memory.record = Hold()
        hold.complete(failure)
        if not deliveries.lost:
            await until(lambda hold=following: hold.driver is not None)  # type: ignore[misc]
            attempts += 1
        hold = following
    assert (attempts, deliveries.lost) == (MAX_ATTEMPTS, 2)
    assert not deliveries.seen
    # The next event begins again.
    memory.record = record("member")
    assert current.get("news") is not None


def test_pauses_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    loop = SimpleNamespace(call_later=lambda pause, call, read: pauses.append(pause))
    monkeypatch.setattr("asyncio.get_running_loop", lambda: loop)
    memory = Memory()
    current, deliveries = policies(memory), Deliveries()
    memory.record = Hold()
    assert current.get("news") is None
    current.wait("news", deliveries.number(1), deliveries.lose, CONTENT)
    failure = StoredValue(b"", problem=Problem("store-unavailable", "It is away."))
    read = current._reads["news"]
    for attempt in range(1, MAX_ATTEMPTS):
        read.attempts = attempt
        current.settle(read, failure)
    assert pauses[:6] == [1, 2, 4, 8, 16, 30]
    assert sum(pauses) < 600


def test_bytes_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event counts once, however many subscribers share it."""
    monkeypatch.setattr(current_policy, "MAX_WAITING_BYTES", 100_000)
    memory = Memory()
    current, deliveries = policies(memory), Deliveries()
    memory.record = Hold()
    assert current.get("news") is None
    large = (b"x" * 40_000, b"")
    for _ in range(100):
        current.wait("news", deliveries.number(1), deliveries.lose, large)
    assert deliveries.lost == 0
    for number in range(3):
        memory.record = Hold()
        if current.get("news") is None and "news" in current._reads:
            current.wait("news", deliveries.number(number), deliveries.lose, (large[0], b"a"))
    assert deliveries.lost >= 101
    assert not deliveries.seen
    assert current._waiting_bytes < 100_000
