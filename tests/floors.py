"""Coverage of the rooms that can be tested in one process: lines and branches, with a floor each.

`python -m tests.floors` runs the fast tests of these rooms under coverage, prints a table, and ends
with 1 when a room is below its floor. A floor is the measured value minus one point. Coverage in
the processes of hubs that tests start is not measured.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
FLOORS: dict[str, float] = {
    "auth": 97.5,
    "bosh": 93.8,
    "grip": 98.7,
    "http": 73.8,
    "hub": 83.7,
    "log": 97.4,
    "polls": 97.1,
    "xmpp/model": 94.8,
    "xmpp/routing": 88.5,
    "xmpp/sasl": 95.7,
    "xmpp/storage": 90.3,
    "xmpp/xep": 91.0,
}
TESTS = ("api", "auth", "bosh", "grip", "http", "hub", "log", "polls", "xmpp", "test_xml.py")


def measure(report: Path) -> int:
    """Run the tests; the exit status of pytest."""
    command = [sys.executable, "-m", "pytest", "--fast", "-q", "-n", str(os.cpu_count() or 1)]
    command += ["--dist", "worksteal", "-o", "faulthandler_timeout=0", "--cov-branch"]
    command += [f"--cov=pushhub/{room}" for room in FLOORS]
    command += [f"--cov-report=json:{report}", *(f"tests/{name}" for name in TESTS)]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def percentages(report: Path) -> dict[str, float]:
    """The covered part of the lines and branches of each room, in percent."""
    covered: dict[str, int] = defaultdict(int)
    total: dict[str, int] = defaultdict(int)
    for name, file in json.loads(report.read_text())["files"].items():
        room = next(room for room in FLOORS if name.startswith(f"pushhub/{room}/"))
        summary = file["summary"]
        covered[room] += summary["covered_lines"] + summary["covered_branches"]
        total[room] += summary["num_statements"] + summary["num_branches"]
    return {room: 100 * covered[room] / total[room] for room in total}


def below(found: dict[str, float]) -> list[str]:
    """The rooms below their floors; a room without a measurement is one of them."""
    return [room for room, floor in FLOORS.items() if found.get(room, 0.0) < floor]


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "coverage.json"
        if status := measure(report):
            return status
        found = percentages(report)
    low = below(found)
    for room, floor in FLOORS.items():
        note = "  below the floor" if room in low else ""
        print(f"coverage of {room:14} {found.get(room, 0.0):5.1f} %, floor {floor:4.1f} %{note}")
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main())
