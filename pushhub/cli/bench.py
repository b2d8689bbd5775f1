"""`pushhub bench`: put a load on a hub, and print the figures."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from pushhub.cli.client import CONNECTION_ERRORS, DEFAULT_URL, Key, Url, secret_of_file, why
from pushhub.cli.config import Json
from pushhub.cli.terminal import FAILED, USAGE, fail, note, say, say_json
from pushhub.settings.host import is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.bench.target import Figures, Load, Target

# The scenarios that measure only the server's processes.
_NEED_PID = ("idle", "memory", "memory-spread", "memory-users")

# Enough for one machine; a typing error must not be a denial of service.
_MOST_HOLDS = 60_000


def bench(
    scenario: Annotated[
        str, typer.Argument(help="The scenario to measure; --list prints all.")
    ] = "fan-out",
    holds: Annotated[
        int | None,
        typer.Option(
            help="The number of clients at a time.", min=1, max=_MOST_HOLDS, show_default=False
        ),
    ] = None,
    publishes: Annotated[
        int | None,
        typer.Option(help="Events for every channel.", min=1, max=10_000, show_default=False),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            help="The duration, for scenarios that have one.", min=1, max=3600, show_default=False
        ),
    ] = None,
    generators: Annotated[
        int, typer.Option(help="Processes that the clients live in.", min=1, max=64)
    ] = 1,
    url: Url = DEFAULT_URL,
    key: Key = None,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="PUSHHUB_TOKEN",
            callback=secret_of_file,
            help="The credential of the clients; else the key, or none.",
            show_default=False,
        ),
    ] = None,
    pid: Annotated[
        int | None,
        typer.Option(
            help="The hub's process, if it is on this machine: for its CPU and memory.",
            min=1,
            show_default=False,
        ),
    ] = None,
    remote: Annotated[
        bool,
        typer.Option("--remote", help="The hub is on another machine, and I may put a load on it."),
    ] = False,
    as_list: Annotated[bool, typer.Option("--list", help="Print the scenarios.")] = False,
    as_json: Json = False,
) -> None:
    """Put a load on a hub and print the results: latency, rates, losses.

    The channels are new, named bench-…, and the hub keeps them as all others.
    """
    # Imported here, so that other commands start faster.
    from pushhub.bench.generator_pool import GeneratorError
    from pushhub.bench.publishing import PublishError
    from pushhub.bench.scenarios import SCENARIOS

    if as_list:
        for name, entry in SCENARIOS.items():
            say(f"{name:18} {entry.about}")
        return
    if scenario not in SCENARIOS:
        fail(f"There is no scenario {scenario!r}; there are {', '.join(SCENARIOS)}.", code=USAGE)
    if scenario in _NEED_PID and pid is None:
        fail(f"The scenario {scenario} only measures the hub's process: give --pid.", code=USAGE)
    target = target_of(url, key, token, pid, remote=remote)
    entry = SCENARIOS[scenario]
    load = entry.load(holds or entry.sizes[0])
    changes = {"publishes": publishes, "seconds": seconds}
    given = {name: value for name, value in changes.items() if value is not None}
    try:
        figures = _run(entry.run, target, load, given | {"generators": generators})
    except (PublishError, GeneratorError) as error:
        fail(str(error))
    except CONNECTION_ERRORS as error:
        fail(f"{url} cannot be reached: {why(error)}. Is the hub running? (pushhub serve)")
    _print(f"{scenario} ({load.holds:,} holds): {entry.about}", figures, as_json=as_json)
    if figures.get("lost") or figures.get("duplicated"):
        raise typer.Exit(FAILED)


def target_of(
    url: str, key: str | None, token: str | None, pid: int | None, *, remote: bool
) -> "Target":
    """The target at a URL; an unusable URL ends the command."""
    from pushhub.bench.dialect import FeedDialect, bearer
    from pushhub.bench.processes import Processes
    from pushhub.bench.target import Target

    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        fail(f"{url!r} is not a URL such as {DEFAULT_URL}.", code=USAGE)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        fail(f"{url!r} is not a URL such as {DEFAULT_URL}.", code=USAGE)
    if not (remote or is_loopback(parts.hostname)):
        fail(
            f"{parts.hostname} is not this machine. If you may put a load on it, add --remote.",
            code=USAGE,
        )
    if pid is not None and not Path(f"/proc/{pid}/stat").exists():
        fail(f"There is no process {pid} here, or no /proc to read about it.", code=USAGE)
    prefix = parts.path.rstrip("/")
    dialect = FeedDialect(parts.netloc, token or key or "", key or "", prefix=prefix)
    metrics = f"GET {prefix}/metrics HTTP/1.1\r\nHost: {parts.netloc}\r\n{bearer(key or '')}\r\n"
    return Target(
        parts.hostname,
        port,
        dialect,
        tls=parts.scheme == "https",
        processes=Processes(pid) if pid else None,
        metrics=metrics.encode(),
        cheap=replace(dialect, wait=0).poll("bench-probe", b"now"),
    )


def _run(
    run: "Callable[[Target, Load], Figures]",
    target: "Target",
    load: "Load",
    changes: dict[str, int | float],
) -> "Figures":
    """Run with a progress bar, if standard error is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not sys.stderr.isatty()) as bars:
        task = bars.add_task(f"{load.holds:,} holds", total=1.0)

        def tick(share: float) -> None:
            bars.update(task, completed=share)

        return run(target, replace(load, tick=tick, **changes))  # type: ignore[arg-type]


def _print(title: str, figures: "Figures", *, as_json: bool) -> None:
    from math import isnan

    from rich.console import Console

    from pushhub.bench.figures import warnings
    from pushhub.bench.table import table

    if as_json:
        say_json({name: None if isnan(value) else value for name, value in figures.items()})
    else:
        shown = {name: value for name, value in figures.items() if not isnan(value)}
        # Above the table: its title would be folded to the width of the table.
        say(title)
        Console().print(table("", {"hub": shown}))
    for line in warnings(figures):
        note(line)
