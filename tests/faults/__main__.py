"""The faults at length: `python -m tests.faults [--seconds N] [--only NAME] [--markdown]`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from tests.faults.scenarios import SCENARIOS
from tests.faults.stage import Stage
from tests.redis_servers import KINDS

HEAD = """\
| fault | strikes | acknowledged | gone from the log | delivered | reported as gaps \
| lost silently | slowest, s | recovery, s |
|---|---|---|---|---|---|---|---|---|"""


def main() -> int:
    """Run what was asked for; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="scripts/faults", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="for each fault (20)")
    parser.add_argument("--only", choices=SCENARIOS, action="append", help="this fault; repeatable")
    parser.add_argument("--kind", choices=KINDS, default="valkey9", help="the kind of Redis")
    parser.add_argument("--markdown", action="store_true", help="print the table of docs/faults.md")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="save the histories there")
    given = parser.parse_args()
    rows, broken = [HEAD], []
    for name in given.only or SCENARIOS:
        stage = Stage(SCENARIOS[name], KINDS[given.kind], long=True)
        report = asyncio.run(stage.run(given.seconds))
        print(f"{name}: {report}", file=sys.stderr, flush=True)
        print(f"  {stage.measures()}", file=sys.stderr, flush=True)
        if given.keep:
            stage.book.save(given.keep / f"{name}.jsonl")
        if report.findings:
            broken.append(name)
        prompt = stage.promptly()
        rows.append(
            f"| {stage.scenario.what} | {stage.strikes} | {report.acknowledged:,} "
            f"| {stage.missing:,} | {report.delivered:,} | {report.told:,} "
            f"| {report.lost} | {prompt.slowest:.2f} | {prompt.recovery:.2f} |"
        )
    if given.markdown:
        print("\n".join(rows))
    if broken:
        print(f"promises were broken: {', '.join(broken)}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
