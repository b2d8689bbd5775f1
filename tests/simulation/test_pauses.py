"""How long actors wait: every constant of the code that is a time is in the draw."""

import ast
from pathlib import Path
from random import Random

import pytest

import pushhub
from pushhub.testing.simulation import pauses

ROOT = Path(pushhub.__file__).parent


@pytest.mark.slow
def test_the_times_of_the_code_are_found() -> None:
    found = pauses.constants()
    assert found["hub/channels:LINGER_SECONDS"] == 60
    assert found["store/base:IDEMPOTENCY_SECONDS"] == 300
    assert found["settings:linger"] == 10
    assert found["settings:keep_alive_seconds"] == 75
    assert found["settings:retention_age"] == 86_400


@pytest.mark.slow
def test_no_constant_that_is_a_time_is_left_out() -> None:
    """A module-level number named after seconds is in the draw, whatever its module."""
    named = {
        f"{path.relative_to(ROOT).with_suffix('')}:{target.id}"
        for path in ROOT.rglob("*.py")
        if path.relative_to(ROOT).parts[0]
        not in ("testing", "bench", "cli", "doctor", "advice", "trial")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant | ast.BinOp)
        for target in node.targets
        if isinstance(target, ast.Name)
        and target.id.endswith(("_SECONDS", "_MS"))
        and not (
            isinstance(node.value, ast.Constant) and not isinstance(node.value.value, int | float)
        )
    }
    assert named <= pauses.constants().keys()


@pytest.mark.parametrize("longest", [0.5, 60.0, pauses.MONTH])
def test_pauses_stay_in_their_bounds(longest: float) -> None:
    random = Random(1)
    drawn = [pauses.draw(random, longest) for _ in range(5000)]
    assert min(drawn) >= pauses.SHORTEST
    assert max(drawn) <= longest


def test_pauses_meet_every_constant() -> None:
    random = Random(2)
    drawn = [pauses.draw(random, pauses.MONTH) for _ in range(50_000)]
    for name, value in pauses.constants().items():
        if value <= pauses.MONTH:
            assert any(abs(pause - value) <= 0.2 for pause in drawn), name
