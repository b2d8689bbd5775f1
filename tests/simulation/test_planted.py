"""The simulation finds faults of every kind, each within a minute."""

import time

import pytest

from pushhub.testing.simulation.run import simulate
from tests.simulation.planted import PLANTED

# The actors of each fault make every seed find it; more than one is for bad luck.
SEEDS = range(10)
DAYS = 0.1
# CPU time of this process: the machine may be shared.
MOST_SECONDS = 60.0


# The coroutines of a killed node never end; the garbage collector meets them at any time.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", PLANTED)
@pytest.mark.slow
def test_a_planted_fault_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fault = PLANTED[name]
    fault.plant(monkeypatch)
    begun = time.process_time()
    for seed in SEEDS:
        verdict = simulate(seed, DAYS, fault.plan(seed), until=fault.kinds)
        found = {finding.kind for finding in verdict.findings}
        if found & fault.kinds:
            return
        assert time.process_time() - begun < MOST_SECONDS, f"not found by seed {seed}: {found}"
    pytest.fail("no seed found it")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_actors_of_a_fault_find_nothing_without_it() -> None:
    """Otherwise the plan shows the fault of another place. One fault of each number of nodes."""
    for name in ("log not read", "kept connection"):
        assert simulate(0, DAYS, PLANTED[name].plan(0)).findings == [], name
