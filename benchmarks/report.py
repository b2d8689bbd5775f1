"""Results for people and for programs: the terminal's tables, Markdown, JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from benchmarks.comparison import Result
from benchmarks.servers import SERVERS
from benchmarks.targets import judge
from pushhub.bench.figures import warnings
from pushhub.bench.scenarios import SCENARIOS
from pushhub.bench.table import markdown, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rich.console import Console


def show(results: Sequence[Result], console: Console) -> None:
    """Print a table for each scenario and load, and what must be known to read it."""
    for title, group in grouped(results):
        rows = {result.server: result.median for result in group if result.runs}
        if rows:
            console.print(table(title, rows))
        for line in _remarks(group):
            console.print(f"  {line}")
        console.print()


@dataclass(frozen=True, slots=True)
class Run:
    """What was run where, and what came out."""

    machine: dict[str, str]
    commands: list[str]
    results: list[Result]


def write_json(run: Run, path: Path) -> None:
    """Write everything, each run and the medians."""
    document = {
        "commands": run.commands,
        "machine": run.machine,
        "servers": _versions(run.results),
        "results": [result.as_json() for result in run.results],
    }
    path.write_text(json.dumps(document, indent=1) + "\n")


def read_json(paths: Sequence[Path]) -> Run:
    """What earlier runs on one machine wrote, put together."""
    documents = [json.loads(path.read_text()) for path in paths]
    commands = list(chain(*(document["commands"] for document in documents)))
    entries = chain(*(document["results"] for document in documents))
    return Run(documents[0]["machine"], commands, [Result.from_json(entry) for entry in entries])


def as_markdown(run: Run, note: str) -> str:
    """The whole report as a document."""
    results = run.results
    parts = [f"# Results\n\n{note}\n\n" if note else "# Results\n\n"]
    parts.append("## Machine\n\n| | |\n| --- | --- |\n")
    parts += [f"| {name} | {value} |\n" for name, value in run.machine.items()]
    parts.append("\n## Servers\n\n| | | |\n| --- | --- | --- |\n")
    for name, version in _versions(results).items():
        parts.append(f"| {name} | {version} | {SERVERS[name]().about} |\n")
    parts += ["\n## Commands\n\n", *(f"    {command}\n" for command in run.commands)]
    parts.append(f"\n## Goals\n\n{judge(results)}")
    for title, group in grouped(results):
        rows = {result.server: result.median for result in group if result.runs}
        repeats = max(len(result.runs) for result in group)
        parts.append(f"\n## {title}\n\n")
        if rows:
            parts.append(f"Medians of {repeats}.\n\n{markdown(rows)}\n")
        parts += [f"- {line}\n" for line in _remarks(group)]
    return "".join(parts)


def grouped(results: Sequence[Result]) -> Iterator[tuple[str, list[Result]]]:
    """The results that belong side by side, with a title."""
    groups: dict[tuple[str, int], list[Result]] = {}
    for result in results:
        groups.setdefault((result.scenario, result.holds), []).append(result)
    for (scenario, holds), group in groups.items():
        what = "connections" if scenario == "publish" else "holds"
        yield f"{scenario} ({holds:,} {what}): {SCENARIOS[scenario].about}", group


def _remarks(group: Sequence[Result]) -> list[str]:
    remarks = [result.note for result in group if result.note]
    for result in group:
        if result.runs:
            remarks += [f"{result.server}: {line}" for line in warnings(result.median)]
    return remarks


def _versions(results: Sequence[Result]) -> dict[str, str]:
    names = dict.fromkeys(result.server for result in results if result.runs)
    servers = {name: SERVERS[name]() for name in names}
    # A missing program costs its version, and not the results of hours.
    return {
        name: "not installed here" if server.missing() else server.version()
        for name, server in servers.items()
    }
