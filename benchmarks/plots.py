"""Plots: for each figure that can be compared, a bar for every server, and every run as a dot."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from benchmarks.report import grouped
from pushhub.bench.figures import KINDS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.comparison import Result

# What says something side by side, in the order of the panels.
PLOTTED = (
    *("cpu_per_delivery_us", "cpu_per_timeout_us", "cpu_per_return_us", "cpu_per_publish_us"),
    *("rss_per_hold_kib", "rss_per_hold_after_events_kib", "deliveries_per_s", "publishes_per_s"),
    *("p50_ms", "p99_ms", "max_ms", "back_ms", "poll_p50_ms", "long_p50_ms"),
    *("poll_requests_per_s", "long_requests_per_s", "probe_max_ms", "idle_share", "asking_share"),
)


class PlotError(Exception):
    """There is nothing to plot with."""


def draw(results: Sequence[Result], folder: Path) -> list[Path]:
    """Write a PNG for each scenario and load: where they are.

    Raises:
        PlotError: matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError:
        raise PlotError("Plots need matplotlib: pip install 'pushhub[bench]'.") from None
    matplotlib.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    return [
        _draw_group(title, group, folder)
        for title, group in grouped([result for result in results if result.runs])
    ]


def _draw_group(title: str, group: Sequence[Result], folder: Path) -> Path:
    from matplotlib.figure import Figure

    names = [name for name in PLOTTED if any(name in result.median for result in group)]
    width = 1.4 + 0.45 * len(group)
    figure = Figure(figsize=(max(5.0, width * len(names)), 3.6), layout="constrained")
    figure.suptitle(title, fontsize=10)
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        kind = KINDS[name]
        scale = 100.0 if kind.percent else 1.0
        for place, result in enumerate(group):
            runs = [run.get(name, math.nan) * scale for run in result.runs]
            bar = axes.bar(place, result.median.get(name, math.nan) * scale, width=0.7, alpha=0.6)
            axes.plot([place] * len(runs), runs, ".", color="black", markersize=3)
            axes.bar_label(bar, fmt="%.4g", fontsize=7)
        axes.set_title(kind.title + (", %" if kind.percent else ""), fontsize=8)
        axes.set_xticks(range(len(group)), [result.server for result in group], rotation=60)
        axes.tick_params(labelsize=7)
    path = folder / f"{group[0].scenario}-{group[0].holds}.png"
    figure.savefig(path, dpi=130)
    return path
