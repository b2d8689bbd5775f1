"""Rate limits: the law of a token bucket, and a bound on what is remembered."""

from hypothesis import given
from hypothesis import strategies as st

from pushhub.auth.rate_limit import Rate, RateLimit

BURST, SECONDS, MOST = 5, 10.0, 100
RATE = Rate(SECONDS, BURST)


class TokenBucket:
    """The textbook's bucket: a level and its time."""

    def __init__(self, rate: Rate) -> None:
        self.rate, self.level, self.at = rate, rate.burst, 0.0

    def admit(self, now: float, cost: int) -> bool:
        self.level = min(self.rate.burst, self.level + (now - self.at) / self.rate.interval)
        self.at = now
        if self.level < cost:
            return False
        self.level -= cost
        return True


# Quarters of a second are exact as floats, so that both laws have the same sums.
STEPS = st.lists(st.tuples(st.integers(0, 200), st.integers(1, 4)), max_size=60)


@given(STEPS, st.sampled_from([0.25, 0.5, 1.0, 4.0]), st.integers(1, 8))
def test_it_has_the_law_of_a_token_bucket(
    steps: list[tuple[int, int]], interval: float, burst: int
) -> None:
    rate = Rate(interval, burst)
    limit, bucket, now = RateLimit(rate, MOST), TokenBucket(rate), 0.0
    for quarters, cost in steps:
        now += quarters / 4
        decision = limit.admit("a", now, cost)
        assert decision.allowed == bucket.admit(now, cost)
        assert decision.remaining == int(bucket.level)


@given(STEPS, st.sampled_from([0.25, 0.5, 1.0, 4.0]))
def test_a_client_that_waits_as_told_is_admitted(
    steps: list[tuple[int, int]], interval: float
) -> None:
    limit, now = RateLimit(Rate(interval, 8), MOST), 0.0
    for quarters, cost in steps:
        now += quarters / 4
        if wait := limit.admit("a", now, cost).wait:
            assert not limit.admit("a", now + wait - 0.01, cost).allowed, "no longer than needed"
            now += wait
            assert limit.admit("a", now, cost).allowed


def test_a_cost_above_the_burst_has_a_finite_wait() -> None:
    limit = RateLimit(RATE, MOST)
    decision = limit.admit("a", 0.0, BURST + 1)
    assert not decision.allowed
    assert 0 < decision.wait <= SECONDS * (BURST + 1)
    assert len(limit) == 0


def test_a_token_comes_back_with_time() -> None:
    limit, now = RateLimit(RATE, MOST), 1000.0
    for _ in range(BURST):
        assert limit.wait("a", now) == 0
        limit.spend("a", now)
    assert limit.wait("a", now) == SECONDS
    assert limit.wait("b", now) == 0
    now += SECONDS
    assert limit.wait("a", now) == 0
    limit.spend("a", now)
    assert limit.wait("a", now) == SECONDS


def test_a_refused_request_costs_no_token() -> None:
    limit, now = RateLimit(Rate(SECONDS, 1), MOST), 1000.0
    assert limit.admit("a", now).allowed
    assert not limit.admit("a", now).allowed
    assert not limit.admit("a", now + SECONDS - 1).allowed
    assert limit.admit("a", now + SECONDS).allowed


def test_memory_is_bounded_and_full_buckets_are_forgotten() -> None:
    limit = RateLimit(RATE, MOST)
    for number in range(MOST + 5):
        limit.spend(str(number), 0.0)
    assert repr(limit) == f"<RateLimit of {MOST} keys>"
    assert limit.wait("0", 0.0) == 0, "the oldest is forgotten first"
    limit.spend("late", SECONDS + 1)
    assert len(limit) == 1
