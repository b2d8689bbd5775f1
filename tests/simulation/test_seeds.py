"""Fixed seeds: every run lives through the same days. scripts/simulate draws fresh ones."""

import json
import os
import subprocess
import sys

import pytest

from pushhub.testing.simulation.__main__ import GROUP

# Two seeds of each group. All of them take less than a minute of two cores.
FIRSTS = [GROUP * number for number in (1, 2, 3, 4)]
DAYS = 0.5


def lived(first: int, seeds: int, days: float, hash_seed: int = 0) -> list[dict[str, object]]:
    """The verdicts of some seeds, from a process with a hash seed of its own."""
    command = [sys.executable, "-m", "pushhub.testing.simulation", "--group", str(first)]
    done = subprocess.run(
        [*command, "--seeds", str(seeds), "--days", str(days)],
        capture_output=True,
        text=True,
        timeout=110,
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("first", FIRSTS)
def test_days_pass_and_every_promise_is_kept(first: int) -> None:
    for verdict in lived(first, 2, DAYS, first // GROUP):
        assert verdict["findings"] == [], (
            f"scripts/simulate --replay {verdict['seed']} --days {DAYS}"
        )
        assert verdict["requests"], "somebody takes part"


def test_one_seed_is_one_history() -> None:
    one, other = (lived(3, 1, 0.2, 7)[0] for _ in range(2))
    del one["seconds"], other["seconds"]
    assert one == other
