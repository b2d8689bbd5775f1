"""The client of a request: what it costs, what it may not do, and what a refusal tells it."""

from typing import Any

import pytest

from pushhub.auth.caller import Caller, Callers
from pushhub.auth.limits import Limits
from pushhub.http.forwarded import TrustedProxies
from pushhub.http.problem import Problem
from pushhub.settings import Settings
from pushhub.settings.limits import Limit
from tests.auth.test_limits import Clock, Hold, limits

HOME = "203.0.113.1"


def caller_of(all_limits: Limits, address: str = HOME, scope: str = "", id: str = "") -> Caller:
    caller = Callers(all_limits, TrustedProxies([])).of(address, scope, id)
    assert caller is not None
    return caller


def counts(all_limits: Limits) -> dict[str, dict[str, int]]:
    """The counts that are not 0."""
    return {name: dict(count._counts) for name, count in all_limits.counts.items() if len(count)}


# -- requests --------------------------------------------------------------------------------------


def test_a_request_counts_by_address_and_by_credential() -> None:
    all_limits, clock, _ = limits(
        address_requests=Limit(rate=1, burst=3), subject_requests=Limit(rate=1, burst=2)
    )
    caller = caller_of(all_limits, HOME, "subject", "ann")
    for _ in range(2):
        assert caller.request() is None
        assert caller.credential_request() is None
    refusal = caller.credential_request()
    assert refusal is not None
    assert refusal.name == "subject-requests"
    assert caller.request() is None
    refusal = caller.request()
    assert refusal is not None
    assert refusal.name == "address-requests"
    # Another user at the same address shares the address only.
    neighbour = caller_of(all_limits, HOME, "subject", "bob")
    assert neighbour.credential_request() is None
    assert neighbour.request() is not None
    clock.now += 1
    assert caller.request() is None


def test_a_back_end_is_not_counted_by_address() -> None:
    all_limits, _, _ = limits(
        address_requests=Limit(rate=1, burst=1), key_requests=Limit(rate=1, burst=2)
    )
    back_end = caller_of(all_limits, "", "key", "back end")
    for _ in range(50):
        assert back_end.request() is None
    assert [back_end.credential_request() is None for _ in range(3)] == [True, True, False]
    assert caller_of(all_limits).request() is None


def test_a_request_that_was_served_is_charged_and_can_be_taken_back() -> None:
    """A kept-alive poll is answered first and counted then; one that waits is free."""
    all_limits, _, _ = limits(
        address_requests=Limit(rate=1, burst=10), subject_requests=Limit(rate=1, burst=10)
    )
    caller = caller_of(all_limits, HOME, "subject", "ann")
    caller.charge(12)
    for name, key in (("address-requests", HOME), ("subject-requests", "ann")):
        assert all_limits.state(name, key) == (0, 12)
    caller.charge(-4)
    for name, key in (("address-requests", HOME), ("subject-requests", "ann")):
        assert all_limits.state(name, key) == (2, 8)
    back_end = caller_of(all_limits, "", "key", "back end")
    back_end.charge(100)
    assert back_end.serve() is None, "its limit is off"


def test_bytes_of_bodies_and_events_of_publishes_are_counted() -> None:
    all_limits, _, _ = limits(
        address_bytes=Limit(rate=1, burst=100),
        address_publishes=Limit(rate=1, burst=10),
        subject_publishes=Limit(rate=1, burst=5),
    )
    caller = caller_of(all_limits, HOME, "subject", "ann")
    assert caller.body(60) is None
    refusal = caller.body(60)
    assert refusal is not None
    assert (refusal.name, refusal.remaining) == ("address-bytes", 40)
    assert caller.publish(4) is None
    refusal = caller.publish(4)
    assert refusal is not None
    assert refusal.name == "subject-publishes"
    # All or none: the refused events cost neither scope anything.
    assert all_limits.state("address-publishes", HOME) == (6, 4)
    assert all_limits.state("subject-publishes", "ann") == (1, 4)


def test_the_fields_of_a_publish_describe_the_credential_and_no_address() -> None:
    """Of an address they would tell its users of each other."""
    all_limits, _, _ = limits(subject_publishes=Limit(rate=2, burst=10))
    assert caller_of(all_limits).publish_fields() == ()
    assert caller_of(all_limits, "", "key", "back end").publish_fields() == (), "no limit"
    caller = caller_of(all_limits, HOME, "subject", "ann")
    caller.publish(4)
    assert dict(caller.publish_fields()) == {
        b"ratelimit-policy": b'"subject-publishes";q=10;w=5;qu="events"',
        b"ratelimit": b'"subject-publishes";r=6;t=2',
    }


# -- channels --------------------------------------------------------------------------------------


def test_new_channels_are_counted_for_each_scope() -> None:
    all_limits, clock, lines = limits(
        address_creations=Limit(rate=1, burst=8), subject_creations=Limit(rate=1, burst=2)
    )
    caller = caller_of(all_limits, HOME, "subject", "ann")
    assert caller.may_create
    assert caller.creation() is None
    caller.created(2)
    assert not caller.may_create
    assert not lines.lines, "a look counts as no refusal"
    refusal = caller.creation()
    assert refusal is not None
    assert (refusal.name, refusal.seconds) == ("subject-creations", 1)
    assert all_limits.limited["subject-creations"] == 1
    neighbour = caller_of(all_limits, HOME, "subject", "bob")
    assert neighbour.may_create
    # One publish may create more channels than there are tokens; the debt is paid with time.
    caller.created(9)
    assert not neighbour.may_create
    refusal = neighbour.creation()
    assert refusal is not None
    assert refusal.name == "address-creations"
    clock.now += 4
    assert neighbour.may_create
    assert not caller.may_create


def test_a_limit_on_channels_that_is_off_refuses_none() -> None:
    all_limits, _, _ = limits(address_creations=Limit(rate=0), subject_creations=Limit(rate=0))
    caller = caller_of(all_limits, HOME, "subject", "ann")
    caller.created(10_000_000)
    assert caller.creation() is None
    assert caller.may_create


# -- holds -----------------------------------------------------------------------------------------


def test_a_hold_is_counted_until_its_release() -> None:
    all_limits, _, _ = limits(address_holds=Limit(most=2))
    caller = caller_of(all_limits, HOME, "subject", "ann")
    holds = [Hold(3), Hold(1)]
    for hold in holds:
        assert caller.hold(hold) is None
        assert hold.caller is caller
    assert counts(all_limits) == {
        "address-holds": {HOME: 2},
        "address-channels": {HOME: 4},
        "subject-holds": {"ann": 2},
        "subject-channels": {"ann": 4},
    }
    refusal = caller.hold(Hold())
    assert refusal is not None
    assert (refusal.name, refusal.seconds) == ("address-holds", 5)
    caller.release(holds[0])
    assert caller.hold(Hold()) is None


def test_the_next_turn_of_a_stream_is_never_refused() -> None:
    """The stream was allowed when it was opened; its turns may pass a limit that a reload set."""
    all_limits, _, _ = limits(address_holds=Limit(most=1), address_channels=Limit(most=1))
    caller = caller_of(all_limits)
    assert caller.stream() is None
    turns = [Hold(2) for _ in range(3)]
    for turn in turns:
        caller.add(turn)
        assert turn.caller is caller
    assert counts(all_limits) == {"address-holds": {HOME: 3}, "address-channels": {HOME: 6}}
    refusal = caller.stream()
    assert refusal is not None
    assert refusal.name == "address-holds"
    for turn in turns:
        caller.release(turn)
    assert counts(all_limits) == {}
    assert caller.stream() is None


def test_a_count_without_a_limit_is_counted_all_the_same() -> None:
    """The metrics show it, and a reload may set one."""
    all_limits, _, _ = limits()
    back_end = caller_of(all_limits, "", "key", "back end")
    holds = [Hold() for _ in range(200)]
    for hold in holds:
        assert back_end.stream() is None
        assert back_end.hold(hold) is None
    assert all_limits.counts["key-holds"].busiest() == ("back end", 200)
    all_limits.configure(Settings(limits={"key-holds": Limit(most=200)}))
    assert back_end.hold(Hold()) is not None


# -- the response ----------------------------------------------------------------------------------


def header(problem: Problem, name: bytes) -> bytes:
    return dict(problem.headers)[name]


def test_a_refusal_by_a_rate_names_the_limit_its_numbers_and_its_setting() -> None:
    all_limits, _, _ = limits(address_bytes=Limit(rate=1000, burst=4000))
    caller = caller_of(all_limits)
    caller.body(3500)
    refusal = caller.body(2000)
    assert refusal is not None
    problem = refusal.problem()
    assert (problem.status, problem.slug) == (429, "too-many-requests")
    assert problem.detail == (
        "The limit address-bytes is reached: bytes of request bodies, at most 1,000 a second for "
        "one address. Wait for Retry-After. The setting is limits.address-bytes."
    )
    assert header(problem, b"retry-after") == b"2"
    assert header(problem, b"ratelimit-policy") == (
        b'"address-bytes";q=4000;w=4;qu="content-bytes"'
    )
    assert header(problem, b"ratelimit") == b'"address-bytes";r=500;t=2'
    assert (problem.members["policy"], problem.members["limit"]) == ("address-bytes", 4000)


@pytest.mark.parametrize(
    ("name", "unit"),
    [("subject-holds", b"concurrent-requests"), ("subject-channels", b"channels")],
)
def test_a_refusal_by_a_count_has_no_window(name: str, unit: bytes) -> None:
    all_limits, _, _ = limits(**{name.replace("-", "_"): Limit(most=1)})
    caller = caller_of(all_limits, HOME, "subject", "ann")
    assert caller.hold(Hold()) is None
    refusal = caller.hold(Hold())
    assert refusal is not None
    problem = refusal.problem()
    assert "at most 1 for one subject." in problem.detail
    assert header(problem, b"ratelimit-policy") == b'"%b";q=1;qu="%b"' % (name.encode(), unit)
    assert header(problem, b"ratelimit") == b'"%b";r=0;t=5' % name.encode()


def test_clients_that_were_refused_together_do_not_return_together() -> None:
    settings = Settings(limits={"address-requests": Limit(rate=0.01, burst=1)})
    draws = iter([1.0, 1.1, 1.2])

    class Lines:
        def warning(self, *about: Any, **more: Any) -> None: ...

    all_limits = Limits(settings, Clock(), lambda low, high: next(draws), Lines())
    caller = caller_of(all_limits)
    assert caller.request() is None
    refusals = [caller.request() for _ in range(3)]
    assert [refusal and refusal.seconds for refusal in refusals] == [100, 111, 120]


# -- who it is -------------------------------------------------------------------------------------


def test_callers_are_shared_by_connections_and_name_their_network() -> None:
    all_limits, _, _ = limits()
    callers = Callers(all_limits, TrustedProxies(["192.0.2.1"]))
    network = callers.network("2001:db8::7")
    assert network == "2001:db8::/64"
    assert callers.network("192.0.2.1") == "", "all users of a proxy have its address"
    assert callers.of(network) is callers.of(callers.network("2001:db8::8"))
    assert repr(callers.of(network, "subject", "ann")) == "<Caller 2001:db8::/64 subject ann>"
    assert repr(callers) == "<Callers>"
