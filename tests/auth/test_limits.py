"""All limits of a process: what they count, and what a reload leaves."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushhub.auth.caller import Callers
from pushhub.auth.count_limit import CountLimit
from pushhub.auth.limits import MAX_PAUSE, MAX_SLOWED, Limits
from pushhub.auth.rate_limit import Rate, RateLimit
from pushhub.http.forwarded import TrustedProxies
from pushhub.log.channel import Patterns
from pushhub.log.grant import Grant
from pushhub.settings import Settings
from pushhub.settings.limits import Limit


class Lines:
    """A log that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def warning(self, log: Any, event: str, key: str = "", **about: Any) -> None:
        self.lines.append({"event": event, "key": key, **about})


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Hold:
    """A request that waits on some channels."""

    caller: Any = None
    done = False

    def __init__(self, channels: int = 1) -> None:
        self.channel_count = channels


def limits(**own: Limit) -> tuple[Limits, Clock, Lines]:
    clock, lines = Clock(), Lines()
    settings = Settings(limits={name.replace("_", "-"): one for name, one in own.items()})
    return Limits(settings, clock, lambda low, high: low, lines), clock, lines


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 5), st.booleans())))
def test_a_count_is_what_was_acquired_and_not_released(steps: list[tuple[str, int, bool]]) -> None:
    limit = CountLimit(7)
    held: dict[str, list[int]] = {"a": [], "b": []}
    for key, number, releases in steps:
        mine = held[key]
        if releases and mine:
            limit.release(key, mine.pop())
        else:
            fits = sum(mine) + number <= 7
            assert limit.acquire(key, number) == fits
            if fits:
                mine.append(number)
        assert limit.count(key) == sum(mine)
    assert len(limit) == sum(bool(mine) for mine in held.values())


def test_a_refusal_is_counted_logged_and_says_when() -> None:
    all_limits, clock, lines = limits(key_publishes=Limit(rate=0.5, burst=2))
    for _ in range(2):
        assert all_limits.admit("key-publishes", "a b") is None
    refusal = all_limits.admit("key-publishes", "a b")
    assert refusal is not None
    assert (refusal.name, refusal.seconds) == ("key-publishes", 2)
    assert all_limits.admit("key-publishes", "a c") is None
    assert all_limits.limited["key-publishes"] == 1
    assert lines.lines == [
        {"event": "limit.reached", "key": "key-publishes", "limit": "key-publishes", "by": "a b"}
    ]
    clock.now += 2
    assert all_limits.admit("key-publishes", "a b") is None


def test_a_reload_changes_the_numbers_and_keeps_the_counts() -> None:
    all_limits, _, _ = limits(address_requests=Limit(rate=1, burst=2))
    assert all_limits.acquire("address-holds", "a") is None
    for _ in range(2):
        assert all_limits.admit("address-requests", "a") is None
    all_limits.configure(
        Settings(
            limits={
                "address-requests": Limit(rate=1, burst=4),
                "address-holds": Limit(most=1),
                "subject-requests": Limit(rate=0),
            }
        )
    )
    assert all_limits.admit("address-requests", "a", 2) is None
    assert all_limits.admit("address-requests", "a") is not None
    assert all_limits.acquire("address-holds", "a") is not None
    all_limits.release("address-holds", "a")
    assert all_limits.acquire("address-holds", "a") is None
    for _ in range(10_000):
        assert all_limits.admit("subject-requests", "s") is None, "off"


def test_a_refused_hold_leaves_no_count() -> None:
    all_limits, _, _ = limits(
        address_holds=Limit(most=5), subject_holds=Limit(most=5), subject_channels=Limit(most=9)
    )
    callers = Callers(all_limits, TrustedProxies([]))
    caller = callers.of("203.0.113.1", "subject", "s")
    assert caller is not None
    first, second = Hold(8), Hold(2)
    assert caller.hold(first) is None
    refusal = caller.hold(second)
    assert refusal is not None
    assert refusal.name == "subject-channels"
    assert second.caller is None
    assert {name: len(count) for name, count in all_limits.counts.items() if len(count)} == {
        **dict.fromkeys(("address-holds", "address-channels"), 1),
        **dict.fromkeys(("subject-holds", "subject-channels"), 1),
    }
    assert all_limits.counts["address-channels"].count("203.0.113.1") == 8
    caller.release(first)
    assert not any(len(count) for count in all_limits.counts.values())


def test_a_hold_with_a_reply_is_not_counted() -> None:
    """Nothing would release it, and at the limit the client would be refused for ever."""
    all_limits, _, _ = limits(subject_holds=Limit(most=1))
    caller = Callers(all_limits, TrustedProxies([])).of("203.0.113.1", "subject", "s")
    assert caller is not None
    done = Hold()
    done.done = True
    assert caller.hold(done) is None
    caller.add(done)
    assert not any(len(count) for count in all_limits.counts.values())


def test_a_request_that_the_subject_may_not_send_costs_its_address_nothing() -> None:
    all_limits, _, _ = limits(
        address_requests=Limit(rate=1, burst=2), subject_requests=Limit(rate=1, burst=1)
    )
    callers = Callers(all_limits, TrustedProxies([]))
    caller = callers.of("203.0.113.1", "subject", "s")
    assert caller is not None
    assert caller.serve() is None
    for _ in range(5):
        assert caller.serve() is not None
    assert all_limits.state("address-requests", "203.0.113.1") == (1, 1)


def test_what_is_a_back_end() -> None:
    all_limits, _, _ = limits()
    callers = Callers(all_limits, TrustedProxies([]))
    home = callers.of("203.0.113.1")
    every, some = Patterns(["*"]), Patterns(["a:*"])

    def scopes(grant: Grant) -> tuple[str, str, str] | None:
        caller = callers.with_grant(home, grant)
        return None if caller is None else (caller.address, caller.scope, caller.id)

    assert scopes(Grant()) == ("203.0.113.1", "", "")
    assert scopes(Grant(publish=some, subject="back")) == ("", "key", "back")
    assert scopes(Grant(publish=some, subject="u", expires=9.0)) == ("203.0.113.1", "subject", "u")
    assert scopes(Grant(publish=every, subject="grip", expires=9.0)) == ("", "key", "grip")
    assert scopes(Grant(publish=every, expires=9.0)) == ("", "key", "-")
    assert scopes(Grant(read=some, expires=9.0)) == ("203.0.113.1", "", "")
    assert callers.of("", "", "") is None


def test_the_busiest_client_of_a_limit() -> None:
    rate = RateLimit(Rate.per_second(10, 100), 1000)
    assert rate.busiest(0.0) == ("", 0)
    for key, cost in (("a", 20), ("b", 50), ("c", 10)):
        rate.admit(key, 0.0, cost)
    assert rate.busiest(0.0) == ("b", 50)
    assert rate.busiest(4.0) == ("b", 10)
    assert rate.busiest(5.0) == ("", 0)
    count = CountLimit(10)
    assert count.busiest() == ("", 0)
    count.acquire("a", 2)
    count.acquire("b", 3)
    assert count.busiest() == ("b", 3)


def test_a_limit_that_is_off_admits_and_remembers_nothing() -> None:
    all_limits, _, lines = limits(subject_requests=Limit(rate=0))
    all_limits.spend("subject-requests", "s", 1e9)
    assert all_limits.admit("subject-requests", "s", 1e9) is None
    assert all_limits.check("subject-requests", "s") is None
    assert all_limits.state("subject-requests", "s") is None
    assert not lines.lines
    assert repr(all_limits) == "<Limits 0 refused>"


def test_a_check_takes_no_token() -> None:
    all_limits, clock, _ = limits(subject_creations=Limit(rate=1, burst=1))
    for _ in range(10):
        assert all_limits.check("subject-creations", "s") is None
    all_limits.spend("subject-creations", "s", 3)
    refusal = all_limits.check("subject-creations", "s")
    assert refusal is not None
    assert refusal.seconds == 3
    clock.now += 3
    assert all_limits.check("subject-creations", "s") is None
    assert repr(all_limits) == "<Limits 1 refused>"


class Away:
    """A store that does not reply."""

    def take_tokens(self, key: str, numbers: Any, process: str, done: Any) -> None:
        done(None)


def test_a_reload_keeps_the_debts_of_a_shared_rate() -> None:
    clock = Clock()
    own = {"address-requests": Limit(rate=1, burst=100)}
    shared = Limits(
        Settings(limits=own), clock, lambda low, high: low, Lines(), tokens=Away(), process="p"
    )
    assert shared.degraded == 0
    for _ in range(50):
        assert shared.admit("address-requests", "a") is None
    assert shared.degraded > 0, "the store is away, so the process decides by its own share"
    before = shared.rates["address-requests"]
    shared.configure(Settings(limits={"address-requests": Limit(rate=2, burst=40)}))
    assert shared.rates["address-requests"] is before
    assert shared.admit("address-requests", "a", 40) is not None
    # Without sharing it is a rate of the process.
    shared.configure(Settings(limits=own, limits_shared=False))
    assert isinstance(shared.rates["address-requests"], RateLimit)
    assert shared.degraded == 0


def test_a_stranger_does_not_grow_the_memory_of_a_count() -> None:
    count = CountLimit(1)
    for number in range(1000):
        assert count.acquire(str(number))
        assert not count.acquire(str(number))
        count.release(str(number))
    assert repr(count) == "<CountLimit 1 for each of 0 keys>"


def test_the_refusals_of_an_address_are_paced() -> None:
    mine, clock, _ = limits()
    begun = clock.now
    for _ in range(250):
        pause = mine.pause("a")
        clock.now += pause
        if pause:
            mine.resumed("a")
    # The burst is immediate, and a client with one connection receives ten a second after it.
    assert clock.now - begun == pytest.approx(15, abs=0.2)
    assert mine.slowed == pytest.approx(150, abs=2)
    assert mine.pause("b") == 0
    # Time gives the burst back.
    clock.now += 60
    assert mine.pause("a") == 0


def test_refusals_that_wait_are_bounded_in_time_and_number() -> None:
    mine, clock, _ = limits()
    pauses = [mine.pause("a") for _ in range(100 + MAX_SLOWED)]
    assert pauses[:100] == [0] * 100
    assert all(0 < pause <= MAX_PAUSE for pause in pauses[100:])
    # The others are written immediately: nothing more waits for one address.
    assert [mine.pause("a") for _ in range(5)] == [0] * 5
    mine.resumed("a")
    assert mine.pause("a") > 0
    # However many were refused, the address is not slowed for longer than its bucket needs.
    clock.now += 15
    assert mine.pause("a") == 0
