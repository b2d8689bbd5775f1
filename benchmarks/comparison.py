"""A run: scenarios, servers and repeats, with the servers in turn (A B A B), each time fresh."""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from benchmarks.machine import busy_seconds
from benchmarks.servers import SERVERS
from benchmarks.servers.server import Absent
from pushhub.bench.figures import medians
from pushhub.bench.generator_pool import GeneratorError
from pushhub.bench.publishing import PublishError
from pushhub.bench.scenarios import SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.servers.server import Server
    from pushhub.bench.target import Figures, Load

# What a run that fails fails with; the next server's turn comes all the same.
_TROUBLE = (OSError, RuntimeError, PublishError, GeneratorError)


class Progress(Protocol):
    """Who watches."""

    def began(self, scenario: str, server: str, repeat: int) -> Callable[[float], None]:
        """A turn has begun; what comes back is called with the share of it that is done."""

    def ended(self, scenario: str, server: str, figures: Figures | None, said: str) -> None:
        """It has ended, with figures, or without, and then `said` says why."""


@dataclass(slots=True)
class Result:
    """What one server did in one scenario under one load."""

    scenario: str
    server: str
    holds: int
    runs: list[Figures] = field(default_factory=list)
    note: str = ""
    """Why there is no figure, or fewer."""

    @property
    def median(self) -> Figures:
        """Over the repeats."""
        return medians(self.runs)

    @classmethod
    def from_json(cls, entry: dict[str, Any]) -> Result:
        """What `as_json` wrote."""
        runs = [
            {name: math.nan if value is None else value for name, value in run.items()}
            for run in entry["runs"]
        ]
        return cls(entry["scenario"], entry["server"], entry["holds"], runs, entry["note"])

    def as_json(self) -> dict[str, Any]:
        """Everything; what is not a number is null."""
        return {
            "scenario": self.scenario,
            "server": self.server,
            "holds": self.holds,
            "note": self.note,
            "median": _without_nan(self.median),
            "runs": [_without_nan(run) for run in self.runs],
        }


@dataclass(frozen=True, slots=True)
class Wish:
    """What to run."""

    scenarios: Sequence[str]
    servers: Sequence[str]
    repeat: int = 5
    holds: Sequence[int] = ()
    """Other numbers of holds than the scenario's own."""
    publishes: int | None = None
    seconds: float | None = None
    generators: int = 1


def compare(wish: Wish, progress: Progress) -> list[Result]:
    """Run everything that is wished for; an interrupt ends it with the results so far."""
    results: list[Result] = []
    try:
        for scenario in wish.scenarios:
            for holds in wish.holds or SCENARIOS[scenario].sizes:
                group = [Result(scenario, name, holds) for name in wish.servers]
                results += group
                _one_load(wish, group, _load(wish, scenario, holds), progress)
    except KeyboardInterrupt:
        for result in results:
            if len(result.runs) < wish.repeat and not result.note:
                result.note = f"{result.server} was interrupted after {len(result.runs)} runs."
    return results


def _load(wish: Wish, scenario: str, holds: int) -> Load:
    load = replace(SCENARIOS[scenario].load(holds), generators=wish.generators)
    if wish.publishes is not None:
        load = replace(load, publishes=wish.publishes)
    if wish.seconds is not None:
        load = replace(load, seconds=wish.seconds)
    return load


def _one_load(wish: Wish, group: list[Result], load: Load, progress: Progress) -> None:
    """Run each of the group in turn, again and again."""
    for repeat in range(1, wish.repeat + 1):
        for result in group:
            if result.note:
                continue
            scenario = result.scenario
            tick = progress.began(scenario, result.server, repeat)
            server = SERVERS[result.server]()
            result.note = _reason_to_skip(server, scenario, load)
            figures = None
            if not result.note:
                try:
                    figures = _measure(server, scenario, replace(load, tick=tick))
                    result.runs.append(figures)
                except Absent as error:
                    result.note = str(error)
                except _TROUBLE as error:
                    result.note = f"{result.server} failed in {scenario}: {error}"
            progress.ended(scenario, result.server, figures, result.note)


def _reason_to_skip(server: Server, scenario: str, load: Load) -> str:
    if scenario in server.lacks:
        return f"{server.name} has no {scenario}: {server.lacks[scenario]}."
    if load.holds > server.most_holds:
        return f"{server.name} is skipped with more than {server.most_holds} holds."
    return ""


def _measure(server: Server, scenario: str, load: Load) -> Figures:
    load = replace(load, publishes=min(load.publishes, server.most_publishes))
    with server:
        target = server.target()
        busy, ours, begun = busy_seconds(), target.cpu() + _own_seconds(), time.monotonic()
        figures = SCENARIOS[scenario].run(target, load)
        passed = time.monotonic() - begun
        others = busy_seconds() - busy - (target.cpu() + _own_seconds() - ours)
    return figures | {"others_share": max(0.0, others / passed)}


def _own_seconds() -> float:
    """CPU seconds of this process, and of its children that have ended: the generators."""
    return sum(os.times()[:4])


def _without_nan(figures: Figures) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else value for name, value in figures.items()}
