"""docs/capacity.md is what the model says, and the model is what the benchmarks measured."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pushhub.capacity.figures import (
    CHANNEL_KIB,
    DELIVERY_US,
    HOLD_KIB,
    PUBLISH_US,
    TIMEOUT_US,
    TOKEN_KIB,
    Figure,
)
from pushhub.capacity.page import in_page

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "capacity.md"
RESULTS = (ROOT / "benchmarks" / "RESULTS.md").read_text()


def result(section: str, row: str, column: str = "front") -> float:
    """A cell of benchmarks/RESULTS.md."""
    text = RESULTS.partition(f"## {section}")[2].partition("\n## ")[0]
    assert text, section
    head = next(line for line in text.splitlines() if line.startswith("|  |"))
    line = next(line for line in text.splitlines() if line.startswith(f"| {row} |"))
    cells = [cell.strip() for cell in line.split("|")]
    number = [cell.strip() for cell in head.split("|")].index(column)
    return float(cells[number].rstrip(" %").replace(",", ""))


def memory(kind: str) -> float:
    return result(f"{kind} (5,000 holds)", "KiB/hold")


@pytest.mark.parametrize(
    ("figure", "measured"),
    [
        (HOLD_KIB, memory("memory")),
        (TOKEN_KIB, memory("memory-users") - memory("memory")),
        (CHANNEL_KIB, memory("memory-spread") - memory("memory")),
        (DELIVERY_US, result("fan-out (1,000 holds)", "CPU µs/delivery")),
        (
            PUBLISH_US,
            result("steady (15,000 holds)", "CPU µs/delivery", "front-redis")
            - result("fan-out (1,000 holds)", "CPU µs/delivery"),
        ),
        (
            TIMEOUT_US,
            (
                result("idle (18,000 holds)", "CPU, waits of 25 s")
                - result("idle (18,000 holds)", "CPU, parked")
            )
            / 100
            / result("idle (18,000 holds)", "timeouts/s")
            * 1e6,
        ),
    ],
    ids=lambda value: value.about if isinstance(value, Figure) else "",
)
def test_a_figure_is_the_one_of_the_results(figure: Figure, measured: float) -> None:
    assert figure.value == pytest.approx(measured, abs=0.05)
    assert f"    {figure.command}\n" in RESULTS
    assert f"| date | {figure.run.date} " in RESULTS
    assert f"| commit | {figure.run.commit} |" in RESULTS


def test_the_tables_of_the_page_are_current() -> None:
    text = PAGE.read_text()
    assert text == in_page(text), "run: python -m benchmarks.capacity page"
    assert text.count("<!-- begin ") == 2


def capacity(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pushhub", "capacity", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_the_command_prints_what_the_page_shows() -> None:
    [(arguments, shown)] = re.findall(
        r"^\$ pushhub capacity (.*)\n((?:.|\n)*?)```$", PAGE.read_text(), re.MULTILINE
    )
    done = capacity(*arguments.split())
    assert done.returncode == 0, done.stderr
    assert done.stdout == shown


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        ("--publishes 1000000", 1, "Spread the channels over several deployments"),
        ("--publishes nan", 2, "--publishes"),
        ("--holds 0", 2, "--holds"),
        ("--wait 56", 2, "--wait"),
    ],
)
def test_a_load_that_makes_no_sense_is_refused(arguments: str, code: int, sentence: str) -> None:
    done = capacity(*arguments.split())
    assert (done.returncode, done.stdout) == (code, "")
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_programs_read_json() -> None:
    found = json.loads(capacity("--json", "--holds", "7").stdout)
    assert found["load"]["holds"] == 7
    assert found["needs"]["processes"] == 1
