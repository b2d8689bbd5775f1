"""The leases of a shared rate, with a store whose replies the test gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pushhub.auth.rate_limit import Rate
from pushhub.auth.shared_rate import AWAY_SECONDS, SharedRateLimit
from pushhub.store.base import SharedTokens, TokenLease
from pushhub.store.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable

BURST, PART = 100, 10
# So slow that nothing comes back during a test.
SLOW = Rate.per_second(0.001, BURST)


class Script:
    """A store whose replies the test gives."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[float, float, float, int]]] = []
        self.replies: list[Callable[[TokenLease | None], None]] = []

    def take_tokens(
        self, key: str, numbers: Any, process: str, done: Callable[[TokenLease | None], None]
    ) -> None:
        self.calls.append((key, numbers))
        self.replies.append(done)


def test_a_hot_key_leases_tokens_and_a_decision_never_waits() -> None:
    store = Script()
    limit = SharedRateLimit("l", SLOW, 100, store, "p")
    for _ in range(PART):
        assert limit.admit("k", 0.0).allowed
    assert [numbers[2:] for _, numbers in store.calls] == [(PART, PART)]
    # While the reply is on its way the whole burst is allowed, and no second call is made.
    assert limit.admit("k", 0.0).allowed
    assert len(store.calls) == 1
    store.replies.pop()(TokenLease(PART, 0.0, 1))
    for _ in range(PART):
        assert limit.admit("k", 0.0).allowed, "leased"
    assert len(store.calls) == 1
    for _ in range(PART - 1):
        assert limit.admit("k", 0.0).allowed
    assert [numbers[2] for _, numbers in store.calls] == [PART, PART]
    store.replies.pop()(TokenLease(0, 7.0, 1))
    assert limit.admit("k", 0.0).wait == 7.0
    assert limit.wait("k", 1.0) == 6.0
    assert limit.admit("k", 7.0).allowed
    limit.spend("k", 7.0, -1)
    assert len(limit) == 1


def test_memory_is_bounded() -> None:
    limit = SharedRateLimit("l", SLOW, 100, Script(), "p")
    for number in range(1000):
        limit.admit(str(number), 0.0)
    assert len(limit) == len(limit._leases) == 100


def test_only_a_store_of_many_processes_shares() -> None:
    assert not isinstance(MemoryStore(lambda: 0.0), SharedTokens)


def test_a_share_of_the_rate_while_the_store_is_away() -> None:
    store = Script()
    limit = SharedRateLimit("l", SLOW, 100, store, "p")
    for _ in range(PART):
        limit.admit("warm", 0.0)
    store.replies.pop()(TokenLease(PART, 0.0, 4))
    assert limit.processes == 4
    for _ in range(PART):
        limit.admit("k", 0.0)
    store.replies.pop()(None)
    assert limit.degraded == 0
    allowed = sum(limit.admit("k", AWAY_SECONDS / 2).allowed for _ in range(BURST))
    assert allowed == (BURST - PART) // 4
    assert limit.degraded == BURST
    assert store.replies == [], "a store that failed is left alone for a moment"
    limit.admit("k", AWAY_SECONDS, 0.0)
    assert len(store.replies) == 1


def test_the_state_of_a_key() -> None:
    store = Script()
    limit = SharedRateLimit("l", SLOW, 100, store, "p")
    for _ in range(PART):
        limit.admit("k", 0.0)
    assert limit.state("k", 0.0).remaining == BURST - PART
    assert limit.busiest(0.0) == ("k", PART)
    store.replies.pop()(TokenLease(0, 7.0, 1))
    assert limit.state("k", 0.0).remaining == 0
    faster = Rate.per_second(1, BURST)
    limit.rate = faster
    assert limit.rate is faster
