"""`scripts/simulate`: many seeds, on all cores; a failing one is shrunk and its story told.

Each group of seeds has a process of its own with a hash seed of its own, so that the order of
sets and dicts of strings is part of what a seed decides.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

# Seeds that share a process and its hash seed: a start takes as long as a short run.
GROUP = 8
# How long a failing seed may be shrunk, in seconds of this machine.
SHRINK_SECONDS = 120.0
# Lines of a story that are shown.
STORY_LINES = 60


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for; 1 if a promise was broken."""
    options = _parser().parse_args(arguments)
    if options.group is not None:
        return _work(options)
    if options.replay is not None or options.plan:
        return _replay(options)
    return _run(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/simulate",
        description="Lets real hubs live through months of virtual time, and checks every promise.",
    )
    parser.add_argument("--seeds", type=int, default=100, help="how many seeds (100)")
    parser.add_argument("--first", type=int, help="the first one; by default another each time")
    parser.add_argument("--days", type=float, default=30, help="virtual days of each (30)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--replay", type=int, metavar="SEED", help="run one seed, tell its story")
    parser.add_argument("--plan", help="run a plan that a failure printed, tell its story")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    parser.add_argument("--no-shrink", action="store_true", help="show failures as they are")
    parser.add_argument("--group", type=int, help=argparse.SUPPRESS)
    return parser


def _work(options: argparse.Namespace) -> int:
    """A process of its own: some seeds, a JSON line for each."""
    from pushhub.testing.simulation.run import simulate

    for seed in range(options.group, options.group + options.seeds):
        begun = time.process_time()
        verdict = simulate(seed, options.days)
        line = {
            "seed": seed,
            "plan": asdict(verdict.plan),
            "findings": [str(finding) for finding in verdict.findings],
            "kinds": [finding.kind for finding in verdict.findings],
            "hours": verdict.virtual_seconds / 3600,
            "requests": verdict.requests,
            "acknowledged": verdict.acknowledged,
            "delivered": verdict.delivered,
            "gaps": verdict.gaps,
            "acts": verdict.acts,
            "seconds": time.process_time() - begun,
        }
        _say(json.dumps(line))
    return 0


def _group(first: int, count: int, days: float) -> subprocess.Popen[str]:
    """Begin a process for some seeds."""
    environment = {**os.environ, "PYTHONHASHSEED": str(first // GROUP % 2**32)}
    command = [sys.executable, "-m", "pushhub.testing.simulation", "--group", str(first)]
    command += ["--seeds", str(count), "--days", str(days)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def _verdicts(options: argparse.Namespace, first: int) -> Iterator[dict[str, Any]]:
    """The verdict of every seed, as they come."""
    import selectors

    groups = [
        (begin, min(GROUP - begin % GROUP, first + options.seeds - begin))
        for begin in _begins(first, options.seeds)
    ]
    with selectors.DefaultSelector() as selector:
        running = 0
        while groups or running:
            while groups and running < options.jobs:
                process = _group(*groups.pop(0), options.days)
                assert process.stdout is not None
                selector.register(process.stdout, selectors.EVENT_READ, process)
                running += 1
            for key, _ in selector.select():
                line = key.fileobj.readline()  # type: ignore[union-attr]
                if line:
                    yield json.loads(line)
                    continue
                selector.unregister(key.fileobj)
                running -= 1
                if key.data.wait():
                    raise SystemExit("simulate: a process failed; its error is above")


def _begins(first: int, seeds: int) -> list[int]:
    begins = [first]
    while (following := begins[-1] - begins[-1] % GROUP + GROUP) < first + seeds:
        begins.append(following)
    return begins


def _run(options: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    first = options.first if options.first is not None else int(time.time()) % 10**9 * 10
    total: dict[str, float] = dict.fromkeys(
        ("seeds", "hours", "requests", "acknowledged", "delivered", "gaps", "seconds"), 0
    )
    acts: Counter[str] = Counter()
    failed: list[dict[str, Any]] = []
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    )  # fmt: skip
    with Progress(*columns, console=console, disable=options.json) as progress:
        task = progress.add_task("simulating", total=options.seeds)
        for verdict in _verdicts(options, first):
            total["seeds"] += 1
            for name in total:
                total[name] += verdict.get(name, 0)
            acts.update(verdict["acts"])
            if verdict["findings"]:
                failed.append(verdict)
                progress.console.print(f"seed {verdict['seed']}: {verdict['findings'][0]}"[:300])
            progress.update(
                task, advance=1, description=f"{total['hours']:,.0f} h, {len(failed)} failed"
            )
    if options.json:
        _say(json.dumps({**total, "acts": acts, "failed": failed}))
    else:
        _say(
            f"{total['seeds']:.0f} seeds from {first}, {total['hours']:,.0f} virtual hours in "
            f"{total['seconds']:,.0f} s of CPU: {total['requests']:,.0f} requests, "
            f"{total['acknowledged']:,.0f} events acknowledged, {total['delivered']:,.0f} "
            f"delivered, {total['gaps']:,.0f} gaps told, {len(failed)} seeds failed"
        )
        for line in _covered(acts):
            _say(line)
        if failed and not options.no_shrink:
            _explain(failed[0], options.days)
    return 1 if failed else 0


def _covered(acts: Counter[str]) -> Iterator[str]:
    """How often each kind of actor did each of its acts, and what no actor did."""
    from pushhub.testing.simulation.actors import KINDS

    never = []
    for kind, actor in KINDS.items():
        yield f"  {kind}: " + ", ".join(f"{act} {acts[f'{kind}: {act}']:,}" for act in actor.acts)
        never += [f"{kind}: {act}" for act in actor.acts if not acts[f"{kind}: {act}"]]
    if never:
        yield f"  never done in these seeds: {', '.join(never)}"


def _explain(verdict: dict[str, Any], days: float) -> None:
    """Shrink a failing seed, and tell the story of what is left."""
    from pushhub.testing.simulation.run import simulate
    from pushhub.testing.simulation.shrink import shrink

    kind, plan = verdict["kinds"][0], _plan(verdict["plan"])
    end = time.monotonic() + SHRINK_SECONDS

    def fails(candidate: Any) -> bool:
        found = simulate(candidate.seed, days, candidate).findings
        return any(finding.kind == kind for finding in found)

    small = shrink(plan, fails, lambda: time.monotonic() < end)
    _say(f"\nseed {plan.seed} fails with {kind!r}; the smallest plan that does: {small}")
    _tell(small, days)
    _say(f"\nagain: scripts/simulate --plan '{json.dumps(asdict(small))}'")


def _replay(options: argparse.Namespace) -> int:
    from pushhub.testing.simulation import plan as plans
    from pushhub.testing.simulation.actors import MEANS

    if options.plan:
        plan = _plan(json.loads(options.plan))
    else:
        plan = plans.draw(options.replay, options.days, MEANS)
    hash_seed = str(plan.seed // GROUP % 2**32)
    if os.environ.get("PYTHONHASHSEED") != hash_seed:
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        os.execve(
            sys.executable,
            [sys.executable, "-m", "pushhub.testing.simulation", *sys.argv[1:]],
            environment,
        )
    _say(plan)
    return _tell(plan, options.days, everything=True)


def _tell(plan: Any, days: float, *, everything: bool = False) -> int:
    from pushhub.testing.simulation.run import simulate

    verdict = simulate(plan.seed, days, plan)
    story = verdict.story
    if not everything:
        found = next((i for i, line in enumerate(story) if "!! " in line), len(story))
        story = story[max(0, found - STORY_LINES) : found + 1]
    for line in story:
        _say(line[:240])
    for finding in verdict.findings:
        _say(finding)
    return 1 if verdict.findings else 0


def _plan(fields: dict[str, Any]) -> Any:
    from pushhub.testing.simulation.plan import Plan

    return Plan(
        **{
            **fields,
            "actors": tuple(fields["actors"]),
            "phases": tuple((work, sleep) for work, sleep in fields["phases"]),
        }
    )


def _say(line: object) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
