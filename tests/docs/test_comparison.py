"""The figures of docs/comparison.md are those that were measured."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "comparison.md").read_text()
RESULTS = (ROOT / "benchmarks" / "RESULTS.md").read_text()
BOSH = (ROOT / "benchmarks" / "RESULTS-bosh.md").read_text()
MEASURED = PAGE.partition("\n## Measured\n")[2].partition("\n## ")[0]


def cells(text: str, section: str, row: str) -> list[float]:
    """The figures of a row of a report."""
    part = text.partition(f"## {section}")[2].partition("\n## ")[0] if section else text
    line = next(one for one in part.splitlines() if one.startswith(f"| {row} |"))
    found = [re.sub(r"[^\d.]", "", cell) for cell in line.split("|")[2:-1]]
    return [float(cell) for cell in found if cell]


def shown(row: str, after: str) -> list[float]:
    return cells(MEASURED.partition(after)[2], "", row)


def test_the_figures_beside_nchan() -> None:
    section = "fan-out-users (5,000 holds)"
    rows = {
        "processor time for a delivery": "CPU µs/delivery",
        "memory of a hold": "KiB/hold",
        "deliveries in a second": "deliveries/s",
        "latency, p99": "p99 ms",
        "lost": "lost",
    }
    for ours, theirs in rows.items():
        assert shown(ours, "5,000 long-polls") == cells(RESULTS, section, theirs)
    stall = cells(RESULTS, "stall (10,000 holds)", "probe max ms")
    assert all(f"{figure} ms" in MEASURED for figure in stall)


def test_the_figures_beside_a_plain_endpoint() -> None:
    for row, unit in (("CPU µs/delivery", "µs"), ("KiB/hold", "KiB")):
        front, _, _, naive, *_ = cells(RESULTS, "fan-out (1,000 holds)", row)
        assert f"{front} {unit}" in MEASURED
        assert f"{naive} {unit}" in MEASURED


def test_the_figures_of_bosh() -> None:
    rows = {
        "processor time for a message": "CPU/message, µs",
        "processor time for a login and session": "set-up CPU, µs",
        "memory of a session": "RSS/session, KiB",
        "messages in a second": "messages/s",
    }
    for ours, theirs in rows.items():
        measured = cells(BOSH, "", theirs)
        assert [round(one) for one in shown(ours, "BOSH: 1,000")] == [
            round(one) for one in measured
        ]
