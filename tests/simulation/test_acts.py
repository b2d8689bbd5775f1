"""Every actor does everything that it can do: a check that is never reached is none."""

from __future__ import annotations

import pytest

from pushhub.testing.simulation.actors import KINDS
from pushhub.testing.simulation.actors.faults import FAULTS
from pushhub.testing.simulation.plan import Plan
from pushhub.testing.simulation.run import simulate

BREAKING = ("operator", *FAULTS)
PEACE = tuple(kind for kind in KINDS if kind not in BREAKING)
# Several of those that do one of many things in a turn.
MANY = {"operator": 3, "chatter": 4}
PHASES = ((180.0, 20.0),) * 5


@pytest.mark.parametrize(
    ("seed", "kinds"),
    [(4, PEACE), (6, PEACE), (5, ("publisher", *BREAKING))],
    ids=["readers and writers", "readers and writers again", "faults"],
)
@pytest.mark.slow
def test_every_act_is_done(seed: int, kinds: tuple[str, ...]) -> None:
    actors = tuple(f"{kind}-{number}" for kind in kinds for number in range(MANY.get(kind, 1)))
    plan = Plan(seed, 2, is_shared=True, has_xmpp=True, actors=actors, phases=PHASES)
    verdict = simulate(seed, 0.1, plan)
    possible = {f"{kind}: {act}" for kind in kinds for act in KINDS[kind].acts}
    assert possible - verdict.acts.keys() == set(), "never done"
    assert verdict.acts.keys() - possible == set(), "not declared"
    assert verdict.findings == []
