"""What an API is spared: the figures of a small crowd."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def measured(tmp_path: Path, *arguments: str) -> dict[str, dict[str, Any]]:
    out = tmp_path / "figures.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.upgrade", *arguments, "--json", str(out)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    rows: dict[str, dict[str, Any]] = json.loads(out.read_text())["rows"]
    return rows


def test_all_clients_are_notified_after_one_fetch(tmp_path: Path) -> None:
    row = measured(tmp_path, "identical", "--clients", "50")["identical"]
    assert (row["origin_requests"], row["answered"], row["missed"]) == (1, 50, 0)


def test_notified_clients_fetch_once_for_each_change(tmp_path: Path) -> None:
    options = ("--clients", "20", "--seconds", "4", "--mean", "0.5", "--ways", "poll,notify")
    rows = measured(tmp_path, "article", *options)
    for row in rows.values():
        assert row["changes"] > 0
        assert row["missed"] == 0
    assert rows["notify"]["origin_requests"] <= 2 * rows["notify"]["changes"] + 1
    assert rows["poll"]["origin_requests"] <= 8
