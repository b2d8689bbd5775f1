"""The rehearsal of a site: `deploy/rehearse [--minutes N] [--clients N] [--only FAULT]`."""

from __future__ import annotations

import argparse
import asyncio
import json
import pickle
import resource
import sys
from pathlib import Path

from tests.mixed import earlier_commit
from tests.rehearsal.faults import FAULTS
from tests.rehearsal.play import Plan, Play, Run
from tests.rehearsal.report import as_json, as_markdown, draw
from tests.rehearsal.verdict import judge


def main() -> int:
    """Run it; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="deploy/rehearse", description=__doc__)
    parser.add_argument("--minutes", type=float, default=15.0, help="of the whole run (15)")
    parser.add_argument("--clients", type=int, default=2000, help="that read (2,000)")
    parser.add_argument("--only", choices=FAULTS, action="append", help="this fault; repeatable")
    parser.add_argument("--proxy", choices=("nginx", "haproxy"), default="nginx")
    parser.add_argument(
        "--before", default=earlier_commit(), help="the commit that is upgraded from"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the clients' pauses")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--report", type=Path, metavar="FOLDER", help="write README.md and plots")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="save the run there")
    parser.add_argument("--judge", type=Path, metavar="FILE", help="judge a saved run again")
    given = parser.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    plan = Plan(
        given.minutes,
        given.clients,
        tuple(given.only or FAULTS),
        given.proxy,
        given.before,
        given.seed,
    )
    if given.judge:
        run: Run = pickle.loads(given.judge.read_bytes())
    else:
        run = asyncio.run(Play(plan).run())
    if given.keep:
        given.keep.write_bytes(pickle.dumps(run))
    verdict = judge(run.diary, {name: fault.rule for name, fault in FAULTS.items()})
    text = as_markdown(run, verdict)
    if given.report:
        given.report.mkdir(parents=True, exist_ok=True)
        (given.report / "README.md").write_text(text)
        draw(run.diary, verdict, given.report)
    print(json.dumps(as_json(run, verdict), indent=2) if given.json else text)
    return 1 if verdict.findings or run.failures else 0


if __name__ == "__main__":
    sys.exit(main())
