"""Results for people and for programs: the terminal's tables, Markdown, JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from benchmarks.machine import machine
from benchmarks.servers import SERVERS
from benchmarks.targets import judge
from pushhub.testing.load.figures import warnings
from pushhub.testing.load.scenarios import SCENARIOS
from pushhub.testing.load.table import markdown, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rich.console import Console

    from benchmarks.comparison import Result


def show(results: Sequence[Result], console: Console) -> None:
    """Print a table for each scenario and load, and what must be known to read it."""
    for title, group in grouped(results):
        rows = {result.server: result.median for result in group if result.runs}
        if rows:
            console.print(table(title, rows))
        for line in _remarks(group):
            console.print(f"  {line}")
        console.print()


def write_json(results: Sequence[Result], command: str, path: Path) -> None:
    """Write everything, each run and the medians."""
    document = {
        "command": command,
        "machine": machine(),
        "servers": _versions(results),
        "results": [result.as_json() for result in results],
    }
    path.write_text(json.dumps(document, indent=1) + "\n")


def as_markdown(results: Sequence[Result], command: str) -> str:
    """The whole report as the body of a document."""
    parts = ["## Machine\n\n| | |\n| --- | --- |\n"]
    parts += [f"| {name} | {value} |\n" for name, value in machine().items()]
    parts.append("\n## Servers\n\n| | | |\n| --- | --- | --- |\n")
    for name, version in _versions(results).items():
        parts.append(f"| {name} | {version} | {SERVERS[name]().about} |\n")
    parts.append(f"\n## Command\n\n    {command}\n\n## Goals\n\n{judge(results)}")
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
        count = "" if scenario == "publish" else f" ({holds:,} holds)"
        yield f"{scenario}{count}: {SCENARIOS[scenario].about}", group


def _remarks(group: Sequence[Result]) -> list[str]:
    remarks = [result.note for result in group if result.note]
    for result in group:
        if result.runs:
            remarks += [f"{result.server}: {line}" for line in warnings(result.median)]
    return remarks


def _versions(results: Sequence[Result]) -> dict[str, str]:
    names = dict.fromkeys(result.server for result in results if result.runs)
    return {name: SERVERS[name]().version() for name in names}
