"""`pushhub bench` and `python -m benchmarks`, as their users run them."""

import json
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.servers import SERVERS
from benchmarks.servers.nchan import Nchan
from benchmarks.servers.pushhub import Front
from pushhub.bench.scenarios import SCENARIOS
from tests.cli.running import pushhub

TINY = ("--holds", "8", "--publishes", "2", "--seconds", "1")


def test_bench_prints_a_table(front: Front) -> None:
    token = front.tokens(1)[0]
    options = ("--url", f"http://127.0.0.1:{front.port}", "--token", token, "--key", front.key)
    result = pushhub("bench", "fan-out", *TINY, *options)
    assert result.exit_code == 0, result.output
    assert "deliveries/s" in result.stdout
    assert "CPU µs/delivery" not in result.stdout
    pid = str(front.children[0].pid)
    result = pushhub("bench", *TINY, *options, "--pid", pid, "--json")
    figures = json.loads(result.stdout)
    assert (figures["received"], figures["lost"]) == (16, 0)
    assert figures["cpu_per_delivery_us"] is not None


def test_bench_lists_its_scenarios() -> None:
    result = pushhub("bench", "--list")
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines()] == list(SCENARIOS)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["fan-in"], "There is no scenario 'fan-in'"),
        (["memory"], "give --pid"),
        (["--url", "http://hub.example.com"], "is not this machine"),
        (["--url", "ftp://127.0.0.1"], "is not a URL"),
        (["--url", "http://127.0.0.1:x"], "is not a URL"),
        (["--pid", "4194305"], "There is no process 4194305"),
    ],
)
def test_bench_refuses_invalid_options(arguments: list[str], sentence: str) -> None:
    result = pushhub("bench", *arguments)
    assert result.exit_code == 2
    assert sentence in result.stderr


def test_bench_without_a_hub() -> None:
    result = pushhub("bench", "--url", "http://127.0.0.1:1")
    assert result.exit_code == 1
    assert "cannot be reached" in result.stderr


def test_bench_without_a_key(front: Front) -> None:
    result = pushhub("bench", *TINY, "--url", f"http://127.0.0.1:{front.port}")
    assert result.exit_code == 1
    assert "401" in result.stderr


def test_a_comparison(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SERVERS, "nchan", Missing)
    files = ("--json", str(tmp_path / "run.json"), "--markdown", str(tmp_path / "run.md"))
    assert main(["fan-out", *TINY, "--servers", "front,nchan", "--repeat", "1", *files]) == 0
    front, nchan = json.loads((tmp_path / "run.json").read_text())["results"]
    assert (front["median"]["received"], front["median"]["lost"]) == (16, 0)
    assert nchan["note"] == "nchan is skipped: it is not here."
    assert nchan["note"] in (tmp_path / "run.md").read_text()


class Missing(Nchan):
    """A peer that is not installed."""

    def missing(self) -> str | None:
        return "it is not here"
