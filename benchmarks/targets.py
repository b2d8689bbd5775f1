"""What pushhub is meant to reach, and whether the results say that it does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pushhub.bench.figures import KINDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.comparison import Result

FRONT = "front"


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure in a scenario that is at most a number, or so many times what another server has."""

    about: str
    scenario: str
    figure: str
    bound: float
    holds: int | None = None
    """Only with so many."""
    times: str = ""
    """The server whose figure the bound is multiplied with."""
    server: str = FRONT
    """Whose figure it is."""


GOALS = (
    Goal("CPU/delivery, 1,000 holds", "fan-out", "cpu_per_delivery_us", 1.0, 1000, "nchan"),
    Goal("CPU/delivery, 5,000 holds", "fan-out", "cpu_per_delivery_us", 1.0, 5000, "nchan"),
    Goal(
        "CPU/delivery, 1,000 holds, a token each",
        *("fan-out-users", "cpu_per_delivery_us", 1.0, 1000, "nchan"),
    ),
    Goal(
        "CPU/delivery, 5,000 holds, a token each",
        *("fan-out-users", "cpu_per_delivery_us", 1.0, 5000, "nchan"),
    ),
    Goal("CPU/delivery beside naive", "fan-out", "cpu_per_delivery_us", 1 / 8, 1000, "naive"),
    Goal("KiB/hold on one channel", "memory", "rss_per_hold_kib", 3.0),
    Goal("KiB/hold on one channel, a token each", "memory-users", "rss_per_hold_kib", 3.0),
    Goal("KiB/hold, a channel each", "memory-spread", "rss_per_hold_kib", 3.0),
    Goal("memory/hold on one channel", "memory", "rss_per_hold_kib", 1 / 3, None, "nchan"),
    Goal("memory/hold, a channel each", "memory-spread", "rss_per_hold_kib", 1 / 3, None, "nchan"),
    Goal("steady on Redis, p99 ms", "steady", "p99_ms", 10.0, 15_000, server="front-redis"),
    Goal("steady on Redis, lost", "steady", "lost", 0.0, 15_000, server="front-redis"),
    Goal("18,000 holds reached, ms", "fan-out", "max_ms", 1000.0, 18_000),
    Goal("idle CPU with 18,000 holds", "idle", "idle_share", 0.03, 18_000),
    Goal("longest stall by a probe, ms", "stall", "probe_max_ms", 10.0, 10_000),
    Goal("longest stall by the server's metric, ms", "stall", "loop_lag_ms", 10.0, 10_000),
)


def judge(results: Sequence[Result]) -> str:
    """The goals as a table in Markdown."""
    lines = [
        _line(goal, result, results)
        for goal in GOALS
        for result in results
        if result.server == goal.server and result.runs and _meant(goal, result)
    ]
    return "| goal | at most | pushhub | |\n| --- | ---: | ---: | --- |\n" + "".join(lines)


def _meant(goal: Goal, result: Result) -> bool:
    return goal.scenario == result.scenario and goal.holds in (None, result.holds)


def _line(goal: Goal, result: Result, results: Sequence[Result]) -> str:
    value, bound = result.median[goal.figure], goal.bound
    about = goal.about if goal.holds else f"{goal.about} ({result.holds:,} holds)"
    kind = KINDS[goal.figure]
    said = kind.text(bound)
    if goal.times:
        peer = next(
            (
                other.median[goal.figure]
                for other in results
                if other.server == goal.times
                and (other.scenario, other.holds) == (result.scenario, result.holds)
                and other.runs
            ),
            None,
        )
        if peer is None:
            return (
                f"| {about} | of {goal.times} | {kind.text(value)} | {goal.times} did not run |\n"
            )
        said = f"{bound:.2f} x {goal.times} = {kind.text(bound * peer)}"
        bound *= peer
        ratio = f" ({value / peer:.2f} x)"
    else:
        ratio = ""
    verdict = "met" if value <= bound else "**not met**"
    return f"| {about} | {said} | {kind.text(value)}{ratio} | {verdict} |\n"
