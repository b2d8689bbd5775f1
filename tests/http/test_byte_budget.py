"""The budget of bytes of incomplete requests."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushhub.http.byte_budget import FREE_BYTES, ByteBudget
from pushhub.http.problem import Problem


def test_a_client_gets_429_and_others_go_on() -> None:
    budget = ByteBudget(100_000, 30_000)
    greedy, honest = budget.lease("a"), budget.lease("b")
    greedy.hold(30_000)
    with pytest.raises(Problem) as refused:
        greedy.hold(30_001)
    assert refused.value.status == 429
    assert dict(refused.value.headers)[b"retry-after"] == b"2"
    honest.hold(20_000)
    assert budget.used == 50_001


def test_the_process_gets_503() -> None:
    budget = ByteBudget(100_000, 60_000)
    for key in ("a", "b"):
        budget.lease(key).hold(50_000)
    with pytest.raises(Problem) as refused:
        budget.lease("c").hold(5_000)
    assert refused.value.slug == "overloaded"
    assert refused.value.status == 503
    assert budget.refused == {"process": 1, "client": 0}


def test_an_announced_body_is_refused_and_reserves_nothing() -> None:
    budget = ByteBudget(100_000, 100_000)
    budget.lease("a").hold(60_000)
    lease = budget.lease("b")
    with pytest.raises(Problem):
        lease.expect(50_000)
    lease.expect(40_000)
    assert budget.used == 60_000


def test_small_requests_are_free() -> None:
    budget = ByteBudget(1, 1)
    budget.lease("a").hold(FREE_BYTES)
    assert budget.used == 0


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 50_000)), max_size=50))
def test_what_is_released_is_free_again(holds: list[tuple[str, int]]) -> None:
    """Whatever is held and refused, the sums agree, and end at 0."""
    budget = ByteBudget(100_000, 40_000)
    leases = []
    for key, size in holds:
        lease = budget.lease("" if key == "c" else key)
        leases.append((key, lease))
        try:
            lease.hold(size)
            lease.hold(size // 2)
        except Problem:
            pass
    assert budget.used == sum(lease.size for _, lease in leases)
    for key in "ab":
        assert budget.used_by(key) == sum(lease.size for own, lease in leases if own == key)
    for _, lease in leases:
        lease.release()
        lease.release()
    assert budget.used == budget.used_by("a") == budget.used_by("b") == 0
