"""The simulation finds faults of every kind, each within a minute."""

import time

import pytest

from pushhub.testing.simulation.run import simulate
from tests.simulation.planted import PLANTED

# Enough for every fault that is planted here; a fresh search begins at 0.
SEEDS = range(40)
DAYS = 0.1
# Of this machine's own time: others may use it, too.
MOST_SECONDS = 60.0


# A node that was killed leaves coroutines that never end; the collector meets them when it likes.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", PLANTED)
@pytest.mark.slow
def test_a_planted_fault_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant, kinds, first = PLANTED[name]
    plant(monkeypatch)
    begun = time.process_time()
    for seed in (first, *SEEDS):
        found = {finding.kind for finding in simulate(seed, DAYS, until=kinds).findings}
        if found & kinds:
            return
        assert time.process_time() - begun < MOST_SECONDS, f"{seed} seeds without it: {found}"
    pytest.fail("no seed found it")
