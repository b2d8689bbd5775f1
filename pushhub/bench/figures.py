"""The figures: their titles and formats, and the columns of a scenario's table."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pushhub.bench.target import Figures

# A generator that uses more of a core than this may limit the result.
LIMIT_SHARE = 0.85


@dataclass(frozen=True, slots=True)
class Kind:
    """The kind of a figure: its title and its decimals; `percent` is of one core."""

    title: str
    decimals: int = 1
    percent: bool = False

    def text(self, value: float) -> str:
        """The value, for people."""
        if math.isnan(value):
            return "-"
        if self.percent:
            return f"{value * 100:.{self.decimals}f} %"
        return f"{value:,.{self.decimals}f}"


_TIMES = {"p50_ms": Kind("p50 ms"), "p99_ms": Kind("p99 ms"), "max_ms": Kind("max ms")}
_COUNTS = {
    "received": Kind("received", 0),
    "lost": Kind("lost", 0),
    "duplicated": Kind("dup.", 0),
}
_SHARES = {
    "server_share": Kind("server CPU", percent=True),
    "generator_share": Kind("generator CPU", 0, percent=True),
}
_REQUESTS = {"requests_per_s": Kind("requests/s", 0)}
# The figures of both sides in the comparison of polling and long-polling.
_SIDES = {
    f"{prefix}_{name}": replace(kind, title=f"{label}: {kind.title}")
    for name, kind in (_TIMES | _REQUESTS | _SHARES | _COUNTS).items()
    for prefix, label in (("poll", "poll"), ("long", "long-poll"))
}
KINDS: dict[str, Kind] = {
    "cpu_per_delivery_us": Kind("CPU µs/delivery"),
    "cpu_per_timeout_us": Kind("CPU µs/timeout"),
    "cpu_per_return_us": Kind("CPU µs/return"),
    "cpu_per_publish_us": Kind("CPU µs/publish"),
    "rss_per_hold_kib": Kind("KiB/hold", 2),
    "rss_per_hold_after_events_kib": Kind("KiB/hold after 3 events", 2),
    "rss_empty_mib": Kind("MiB empty"),
    "rss_mib": Kind("MiB"),
    "deliveries_per_s": Kind("deliveries/s", 0),
    "publishes_per_s": Kind("publishes/s", 0),
    "timeouts_per_s": Kind("timeouts/s", 0),
    "returns_per_s": Kind("returns/s", 0),
    "back_ms": Kind("all back, ms", 0),
    **_TIMES,
    "behind_ms": Kind("publisher late, ms"),
    "probe_max_ms": Kind("probe max ms"),
    "probe_p99_ms": Kind("probe p99 ms"),
    "probe_idle_max_ms": Kind("probe max ms, no load"),
    "loop_lag_ms": Kind("loop lag ≤ ms"),
    "idle_share": Kind("CPU, parked", 2, percent=True),
    "asking_share": Kind("CPU, waits of 25 s", 2, percent=True),
    **_SIDES,
    **_COUNTS,
    "gaps": Kind("gaps", 0),
    "empty": Kind("empty", 0),
    "refused": Kind("refused", 0),
    "broken": Kind("broken", 0),
    **_SHARES,
    "others_share": Kind("other CPU", 0, percent=True),
}

# Omitted from tables while they are zero.
_QUIET = ("gaps", "empty", "refused", "broken")
_UNSHOWN = ("received",)


def medians(runs: Sequence[Figures]) -> Figures:
    """Each figure's median over repeated runs; losses and the like are added up."""
    names = dict.fromkeys(name for run in runs for name in run)
    return {
        name: sum(run[name] for run in runs)
        if name.endswith(("lost", "duplicated", *_QUIET))
        else _median(run[name] for run in runs if name in run)
        for name in names
    }


def _median(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return statistics.median(known) if known else math.nan


def columns(rows: Iterable[Figures]) -> list[str]:
    """The figures that a table of these rows shows, in the order of KINDS."""
    rows = list(rows)
    names = {name for row in rows for name in row}
    quiet = {name for name in _QUIET if not any(row.get(name) for row in rows)}
    return [
        name
        for name in KINDS
        if name in names and name not in quiet and not name.endswith(_UNSHOWN)
    ]


def cell(row: Figures, name: str) -> str:
    """A figure as text in a table."""
    return KINDS[name].text(row.get(name, math.nan))


def warnings(row: Figures) -> list[str]:
    """Warnings about the validity of a row."""
    found = []
    busiest = max((row[name] for name in row if name.endswith("generator_share")), default=0.0)
    if busiest > LIMIT_SHARE:
        found.append(
            f"the load generator was the limit ({busiest:.0%} of a core): rates and latencies are "
            f"at best its own"
        )
    found += [
        f"{row[name]:.0f} events were {name.rpartition('_')[2]}"
        for name in row
        if name.endswith(("lost", "duplicated")) and row[name]
    ]
    if row.get("refused"):
        found.append(f"{row['refused']:.0f} requests were refused")
    if row.get("broken"):
        found.append(f"{row['broken']:.0f} connections were broken")
    return found
