"""The policy at a delivery: from memory, or after a read of the store, in order."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from pushhub.http.problem import Problem
from pushhub.hub.hold import Hold
from pushhub.log.cursor import Cursor
from pushhub.log.event import Event
from pushhub.log.grant import Action
from pushhub.log.read import Page
from pushhub.xmpp.storage.key_value import StoredValue
from pushhub.xmpp.xep.pubsub import current_policy
from pushhub.xmpp.xep.pubsub.current_policy import CurrentPolicies
from tests.waiting import until

if TYPE_CHECKING:
    import pytest

    from pushhub.xmpp.context import Context
    from pushhub.xmpp.xep.pubsub.policy import NodePolicy

JULIET = "juliet@localhost"


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
    hub = SimpleNamespace(draining=False)
    context: Any = SimpleNamespace(kv=memory, policy=settings, hub=hub)
    return CurrentPolicies(cast("Context", context))


class Deliveries:
    """What was delivered, and whether juliet might read it."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, bool]] = []

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
    current.wait("news", deliveries.number(1))
    # The record is in memory by now, but an earlier item still waits.
    memory.record = record("member")
    assert current.get("news") is None
    current.wait("news", deliveries.number(2))
    assert not deliveries.seen
    hold.complete(page(record("member")))
    assert deliveries.seen == [(1, True), (2, True)]
    assert current.get("news") is not None


def test_a_change_during_the_read_counts() -> None:
    memory = Memory()
    current, deliveries = policies(memory), Deliveries()
    hold = memory.record = Hold()
    assert current.get("news") is None
    current.wait("news", deliveries.number(1))
    memory.record = record("outcast")
    hold.complete(page(record("member")))
    assert deliveries.seen == [(1, False)]


async def test_a_failed_read_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(current_policy, "RETRY_SECONDS", 0.01)
    memory = Memory()
    current, deliveries = policies(memory), Deliveries()
    first = memory.record = Hold()
    assert current.get("news") is None
    current.wait("news", deliveries.number(1))
    second = memory.record = Hold()
    first.complete(StoredValue(b"", problem=Problem("store-unavailable", "It is away.")))
    assert not deliveries.seen
    await until(lambda: second.driver is not None)
    second.complete(page(record("member")))
    assert deliveries.seen == [(1, True)]
