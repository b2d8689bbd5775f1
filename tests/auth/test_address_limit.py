"""A limit by address: a burst, then one at a time, and a bound on what is remembered."""

from pushhub.auth.address_limit import AddressLimit

BURST, SECONDS, MOST = 5, 10.0, 100


def test_a_token_comes_back_with_time() -> None:
    limit, now = AddressLimit(BURST, SECONDS, MOST), 1000.0
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
    limit, now = AddressLimit(1, SECONDS, MOST), 1000.0
    assert limit.admits("a", now)
    assert not limit.admits("a", now)
    assert not limit.admits("a", now + SECONDS - 1)
    assert limit.admits("a", now + SECONDS)


def test_a_network_is_one_address() -> None:
    limit = AddressLimit(BURST, SECONDS, MOST)
    for number in range(BURST):
        limit.spend(f"2001:db8:1:2::{number}", 0.0)
    assert limit.wait("2001:db8:1:2:3:4:5:6", 0.0) == SECONDS, "the same customer"
    assert limit.wait("2001:db8:1:3::1", 0.0) == 0


def test_memory_is_bounded_and_full_buckets_are_forgotten() -> None:
    limit = AddressLimit(BURST, SECONDS, MOST)
    for number in range(MOST + 5):
        limit.spend(str(number), 0.0)
    assert repr(limit) == f"<AddressLimit of {MOST} addresses>"
    assert limit.wait("0", 0.0) == 0, "the oldest is forgotten first"
    limit.spend("late", SECONDS + 1)
    assert len(limit) == 1
