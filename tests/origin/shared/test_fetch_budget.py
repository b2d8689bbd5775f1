"""The budget of an origin, the shares of nodes, and the tokens of one node."""

import math
import random

import pytest

from pushhub.origin.shared.fetch_budget import (
    NOTHING,
    STEPS,
    Demand,
    budget_of,
    distinct,
    seconds_of,
    step_of,
)
from pushhub.origin.shared.fetch_tokens import (
    BURST_SECONDS,
    FORGIVEN_SECONDS,
    GRACE_SECONDS,
    RESERVED,
    FetchTokens,
)
from pushhub.origin.shared.node_demands import (
    MAX_NODES,
    OWN_SILENT_SECONDS,
    SILENT_SECONDS,
    DemandHeartbeat,
    NodeDemands,
    sample_size,
)

RATE, REPLACES = 10.0, 5.0
# A step of an interval: stretched intervals are rounded up to it.
STEP = 2 ** (1 / STEPS)


def demand(resources: int, waiters: int = 0, interval: float = 1.0, first: int = 0) -> Demand:
    """The demand of a node with resources numbered from `first`."""
    sample = tuple(range(first, first + resources))
    return Demand(waiters or resources, ((step_of(interval), resources),), sample)


@pytest.mark.parametrize(
    ("resources", "waiters", "rate", "interval"),
    [
        (1, 1, 10.0, 0.0),
        (1, 50, 10.0, 0.0),
        (10, 10, 10.0, 0.0),
        # Fifty clients that polled every 5 s cost 10 a second.
        (50, 50, 10.0, 5.0),
        (500, 500, 100.0, 5.0),
        (2000, 2000, 400.0, 5.0),
        (100, 10_000, 2000.0, 0.0),
    ],
)
def test_the_budget_is_what_polling_cost(
    resources: int, waiters: int, rate: float, interval: float
) -> None:
    budget = budget_of([demand(resources, waiters)], RATE, REPLACES)
    assert (budget.rate, budget.waiters, budget.due) == (rate, waiters, resources)
    assert interval <= budget.interval <= interval * STEP
    assert demand(resources).rate(budget.interval) <= rate + 1e-9


def test_a_long_interval_is_not_stretched_before_a_short_one() -> None:
    mixed = Demand(11, ((step_of(1.0), 10), (step_of(60.0), 60)), ())
    budget = budget_of([mixed], RATE, REPLACES)
    assert 1.0 < budget.interval < 1.3
    assert mixed.rate(budget.interval) <= RATE


def test_an_interval_can_be_stretched_beyond_a_day() -> None:
    budget = budget_of([demand(20_000, 1, 86_400)], 0.01, 1e6)
    assert demand(20_000, 1, 86_400).rate(budget.interval) <= 0.01


def test_nodes_that_wait_on_the_same_resources_are_counted_once() -> None:
    nodes = [demand(8, first=0), demand(8, first=0), demand(8, first=4)]
    assert distinct(nodes) == 12
    assert budget_of(nodes, RATE, REPLACES).due == pytest.approx(12)
    assert budget_of(nodes, 12.0, REPLACES).interval == 0


def test_the_number_of_common_resources_is_estimated_from_samples() -> None:
    hashes = random.Random(1)
    known = [hashes.randrange(2**32) for _ in range(3000)]
    size = sample_size(1)
    nodes = [
        Demand(2000, ((0, 2000),), tuple(sorted(part)[:size]))
        for part in (known[:2000], known[1000:])
    ]
    assert distinct(nodes) == pytest.approx(3000, rel=0.2)
    # The same resources on all nodes, and none in common.
    assert distinct([nodes[0], nodes[0]]) == pytest.approx(2000, rel=0.1)


@pytest.mark.parametrize("seed", range(20))
def test_the_shares_of_all_nodes_are_the_budget(seed: int) -> None:
    chance = random.Random(seed)
    nodes = [
        demand(chance.randrange(1, 400), chance.randrange(1, 900), chance.choice([0.5, 1, 5, 60]))
        for _ in range(chance.randrange(1, 9))
    ]
    budget = budget_of(nodes, RATE, REPLACES)
    assert sum(budget.share(node, nodes) for node in nodes) == pytest.approx(budget.rate)
    for node in nodes:
        if budget.interval:
            # No node gets more than it needs by much, and none starves.
            assert budget.share(node, nodes) > 0
    assert budget.share(NOTHING, nodes) == 0


# -- tokens ----------------------------------------------------------------------------------------


def taken(tokens: FetchTokens, begin: float, end: float) -> int:
    """The tokens that a greedy node takes from `begin` to `end`."""
    ticks = range(math.ceil(begin * 10), math.ceil(end * 10))
    return sum(tokens.take(tick / 10) for tick in ticks for _ in range(1000))


@pytest.mark.parametrize("rate", [0.5, 10.0, 400.0])
def test_no_more_than_the_rate_is_taken(rate: float) -> None:
    tokens = FetchTokens(rate, 0)
    burst = max(1.0, rate * BURST_SECONDS)
    assert rate * 9.7 <= taken(tokens, 0, 10) <= rate * 10 + burst
    # A second of silence is no reason for a herd.
    assert taken(tokens, 20, 20.1) <= burst + 1


def test_fetches_of_clients_come_first_and_leave_a_reserve() -> None:
    tokens = FetchTokens(10.0, 0)
    for tick in range(100):
        for _ in range(3):
            tokens.spend(tick / 10)
    paced = 0
    for tick in range(100, 200):
        for _ in range(3):
            tokens.spend(tick / 10)
        paced += tokens.take(tick / 10)
    assert 10 * 10 * RESERVED - 1 <= paced <= 10 * 10 * RESERVED + 3


def indebted(spent: int) -> FetchTokens:
    tokens = FetchTokens(10.0, 0)
    for _ in range(spent):
        tokens.spend(0)
    tokens.set(10.0, 0, REPLACES)
    return tokens


def test_a_debt_is_bounded() -> None:
    tokens = indebted(1000)
    seen = taken(tokens, 0, FORGIVEN_SECONDS)
    tokens.set(10.0, FORGIVEN_SECONDS, REPLACES)
    end = FORGIVEN_SECONDS + REPLACES
    assert seen + taken(tokens, FORGIVEN_SECONDS, end) <= 10 * end * RESERVED + 1
    assert taken(tokens, end + 0.5, end + 1.5) >= 9


def test_the_debt_of_a_crowd_is_not_forgiven_before_the_crowd_is_counted() -> None:
    tokens, seen = indebted(200), 0
    for second in range(1, 5):
        tokens.set(40.0, second, REPLACES)
        seen += taken(tokens, second, second + 1)
    assert seen <= 40 * 4 * RESERVED + 1


def test_a_larger_share_counts_later_and_a_smaller_one_immediately() -> None:
    tokens = FetchTokens(0.0, 0)
    assert tokens.offer(10.0, 0.0, REPLACES)
    assert not tokens.take(GRACE_SECONDS / 2)
    # The least of what was offered meanwhile.
    assert tokens.offer(4.0, GRACE_SECONDS / 2, REPLACES)
    tokens.offer(10.0, GRACE_SECONDS, REPLACES)
    assert tokens.rate == 4.0
    assert not tokens.offer(2.0, GRACE_SECONDS, REPLACES)
    assert tokens.rate == 2.0


# -- heartbeats ------------------------------------------------------------------------------------


def test_a_heartbeat_is_read_as_it_was_written() -> None:
    heartbeat = DemandHeartbeat("a", 1.5, {"o": demand(3), "p": demand(1, 7)})
    assert DemandHeartbeat.decode(heartbeat.encode()) == heartbeat


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b'["a",1,[]]', b'["a",1,{"o":[1,2]}]', b"\xff"]
)
def test_a_heartbeat_of_another_version_is_none(data: bytes) -> None:
    assert DemandHeartbeat.decode(data) is None


def test_a_heartbeat_for_the_most_origins_fits_into_an_event() -> None:
    sample = tuple(range(2**32 - sample_size(1000), 2**32))
    steps = tuple((step, 20_000) for step in range(4))
    demands = {f"{number:012x}": Demand(100_000, steps, sample) for number in range(1000)}
    assert len(DemandHeartbeat("a" * 16, 1e9 + 0.123456, demands).encode()) < 256 * 1024


def test_a_silent_node_keeps_its_share_until_it_has_stopped() -> None:
    nodes = NodeDemands("me")
    nodes.receive(DemandHeartbeat("me", 0.0, {"o": demand(1)}), 0.1, 0.0)
    nodes.receive(DemandHeartbeat("other", 7.0, {"o": demand(2)}), 0.1, 7.0)
    own, demands = nodes.at("o")
    assert (own.size, len(demands)) == (1, 2)
    assert nodes.receives_own(OWN_SILENT_SECONDS)
    assert not nodes.receives_own(OWN_SILENT_SECONDS + 0.1)
    nodes.expire(SILENT_SECONDS)
    assert len(nodes) == 2
    nodes.expire(SILENT_SECONDS + 0.2)
    assert len(nodes.at("o")[1]) == 1
    # A node that leaves says so.
    nodes.receive(DemandHeartbeat("me", 9.0, {}), 80, 9.0)
    assert nodes.at("o") == (NOTHING, [])


def test_the_number_of_nodes_is_bounded() -> None:
    nodes = NodeDemands("me")
    for number in range(2 * MAX_NODES):
        nodes.receive(DemandHeartbeat(str(number), 0.0, {"o": demand(1)}), 0.0, 0.0)
    assert len(nodes) == MAX_NODES


def test_steps_are_exact_for_usual_intervals() -> None:
    for seconds in (0.5, 1.0, 2.0, 4.0):
        assert seconds_of(step_of(seconds)) == seconds
    assert seconds_of(step_of(5.0)) <= 5.0


@pytest.mark.parametrize("step", [10**9, -(10**9), 10**400])
def test_a_demand_of_another_version_cannot_stop_the_pace(step: int) -> None:
    heartbeat = DemandHeartbeat.decode(b'["a", 1.5, {"o": [3, [[%d, 5], [0, -7]], [1]]}]' % step)
    if heartbeat is not None:
        budget = budget_of([heartbeat.demands["o"], demand(3)], 10, 5)
        assert 0 <= budget.share(demand(3), [heartbeat.demands["o"], demand(3)]) <= budget.rate
