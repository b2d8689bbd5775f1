"""`python -m benchmarks`: scenarios, servers, a table at the end; JSON, Markdown and plots on
request.
"""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import report
from benchmarks.comparison import Wish, compare
from benchmarks.machine import machine
from benchmarks.plots import PlotError, draw
from benchmarks.servers import SERVERS
from pushhub.bench.figures import KINDS
from pushhub.bench.scenarios import SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pushhub.bench.target import Figures

_DEFAULT_SCENARIO = "fan-out"
_DEFAULT_SERVERS = ("front", "nchan")
# What a line says of a run that has just ended, if it has it.
_HEADLINES = (
    *("cpu_per_delivery_us", "cpu_per_timeout_us", "cpu_per_return_us", "cpu_per_publish_us"),
    *("publishes_per_s", "rss_per_hold_kib", "p50_ms", "p99_ms", "probe_max_ms"),
    *("poll_p50_ms", "long_p50_ms", "idle_share", "asking_share", "lost"),
)


class Watch:
    """Shows the turn that is under way as a bar, and every run as a line once it has ended."""

    def __init__(self, console: Console) -> None:
        self._console = console
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        self._bars = Progress(
            *columns, console=console, transient=True, disable=not console.is_terminal
        )
        self._task = self._bars.add_task("", total=1.0)

    def began(self, scenario: str, server: str, repeat: int) -> Callable[[float], None]:
        """Show a bar."""
        self._bars.reset(self._task, total=1.0, description=f"{scenario} {server} #{repeat}")
        self._bars.start()
        return lambda share: self._bars.update(self._task, completed=share)

    def ended(self, scenario: str, server: str, figures: Figures | None, said: str) -> None:
        """Leave a line."""
        self._bars.stop()
        if figures is None:
            self._console.print(said)
            return
        shown = [name for name in _HEADLINES if name in figures]
        facts = ", ".join(
            f"{KINDS[name].title} {KINDS[name].text(figures[name])}" for name in shown
        )
        self._console.print(f"{scenario} {server}: {facts}", highlight=False, soft_wrap=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line says."""
    options = _parser().parse_args(arguments)
    if options.list:
        for name, scenario in SCENARIOS.items():
            sys.stdout.write(f"{name:18} {scenario.about}\n")
        return 0
    # Who ends us wants the servers ended, too, and what has been measured.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console(stderr=True)
    if options.read:
        run = report.read_json(options.read)
    else:
        command = shlex.join(["python", "-m", "benchmarks", *(arguments or sys.argv[1:])])
        run = report.Run(machine(), [command], compare(_wish(options), Watch(console)))
    results = run.results
    report.show(results, Console())
    if options.json:
        report.write_json(run, options.json)
    if options.markdown:
        options.markdown.write_text(report.as_markdown(run, options.note))
    if options.plots:
        try:
            draw(results, options.plots)
        except PlotError as error:
            console.print(str(error))
            return 1
    return 0 if any(result.runs for result in results) else 1


def _wish(options: argparse.Namespace) -> Wish:
    scenarios = options.scenarios
    if isinstance(scenarios, str):
        scenarios = [scenarios]
    return Wish(
        list(SCENARIOS) if "all" in scenarios else scenarios,
        options.servers,
        options.repeat,
        options.holds,
        options.publishes,
        options.seconds,
        options.generators,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "scenarios",
        nargs="*",
        choices=[*SCENARIOS, "all"],
        default=_DEFAULT_SCENARIO,
        metavar="SCENARIO",
        help=f"{', '.join(SCENARIOS)}, or all",
    )
    parser.add_argument("--list", action="store_true", help="say what the scenarios are, and leave")
    parser.add_argument(
        "--servers",
        type=lambda text: text.split(","),
        default=list(_DEFAULT_SERVERS),
        help=f"which, with commas between them: {', '.join(SERVERS)}",
    )
    parser.add_argument(
        "--holds",
        type=lambda text: [int(part) for part in text.split(",")],
        default=(),
        help="how many; several numbers, with commas, are run one after another",
    )
    parser.add_argument("--publishes", type=int, help="events for each channel")
    parser.add_argument("--seconds", type=float, help="for scenarios that last")
    parser.add_argument("--repeat", type=int, default=5, help="runs of each, of which the median")
    parser.add_argument("--generators", type=int, default=1, help="processes of the clients")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the report there")
    parser.add_argument("--note", default="", help="what the report begins with")
    parser.add_argument(
        "--from",
        dest="read",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="run nothing, and report what earlier runs wrote with --json",
    )
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write PNGs there")
    return parser


if __name__ == "__main__":
    sys.exit(main())
