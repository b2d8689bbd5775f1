"""Distributions, medians, tables and verdicts."""

import json
import math
from array import array
from pathlib import Path

import pytest

from benchmarks.comparison import Result
from benchmarks.report import Run, as_markdown, read_json, write_json
from benchmarks.targets import judge
from pushhub import __version__
from pushhub.bench.figures import medians, warnings
from pushhub.bench.table import markdown
from pushhub.bench.tally import Latencies


def test_quantiles_are_right_to_a_percent() -> None:
    latencies = Latencies.of(array("q", [n * 1_000_000 for n in range(1, 1001)]))
    assert latencies.quantile(0.5) == pytest.approx(500, rel=0.01)
    assert latencies.quantile(0.99) == pytest.approx(990, rel=0.01)
    assert latencies.quantile(1.0) == 1000
    assert latencies.max == 1_000_000_000


def test_distributions_add_up() -> None:
    first = Latencies.of(array("q", [1_000_000] * 50))
    first.add(Latencies.of(array("q", [3_000_000] * 50)))
    assert first.quantile(0.5) == pytest.approx(1, rel=0.011)
    assert first.quantile(0.51) == pytest.approx(3, rel=0.011)
    assert [share for _, share in first.points()] == [0.5, 1.0]


def test_nothing_has_no_quantile() -> None:
    assert math.isnan(Latencies.of(array("q")).quantile(0.5))


def test_medians_add_up_losses() -> None:
    runs = [{"p50_ms": 1.0, "lost": 0}, {"p50_ms": 9.0, "lost": 2}, {"p50_ms": 2.0, "lost": 0}]
    assert medians(runs) == {"p50_ms": 2.0, "lost": 2}


def test_a_busy_generator_says_so() -> None:
    assert warnings({"generator_share": 0.5, "lost": 0}) == []
    [line] = warnings({"generator_share": 0.97})
    assert "the load generator was the limit (97% of a core)" in line
    assert warnings({"lost": 2.0}) == ["2 events were lost"]


def test_a_table_shows_errors_only_if_there_are_any() -> None:
    good = {"p50_ms": 1.0, "lost": 0, "refused": 0}
    assert "refused" not in markdown({"front": good})
    assert "| refused | 0 | 3 |" in markdown({"front": good, "nchan": good | {"refused": 3}})


RESULTS = [
    Result("fan-out", "front", 1000, [{"cpu_per_delivery_us": 20.0}]),
    Result("fan-out", "nchan", 1000, [{"cpu_per_delivery_us": 25.0}]),
    Result("memory", "front", 5000, [{"rss_per_hold_kib": 3.5}]),
]


def test_goals_are_judged() -> None:
    verdicts = judge(RESULTS)
    assert "1.00 x nchan = 25.0 | 20.0 (0.80 x) | met |" in verdicts
    assert "| 3.00 | 3.50 | **not met** |" in verdicts
    assert "nchan did not run" in verdicts


def test_a_missing_program_costs_its_version_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("benchmarks.servers.nchan._nginx", lambda: None)
    write_json(Run({"CPU": "two"}, ["a command"], RESULTS), tmp_path / "one.json")
    servers = json.loads((tmp_path / "one.json").read_text())["servers"]
    assert servers == {"front": f"pushhub {__version__}", "nchan": "not installed here"}
    assert read_json([tmp_path / "one.json"]).results == RESULTS


def test_results_survive_json(tmp_path: Path) -> None:
    written = [*RESULTS, Result("churn", "front", 10, [{"p50_ms": math.nan}], "a note")]
    write_json(Run({"CPU": "two"}, ["a command"], written), tmp_path / "one.json")
    run = read_json([tmp_path / "one.json"])
    assert run.results[:3] == RESULTS
    assert math.isnan(run.results[3].runs[0]["p50_ms"])
    text = as_markdown(run, "A note.")
    assert text.startswith("# Results\n\nA note.\n")
    assert "    a command\n" in text
