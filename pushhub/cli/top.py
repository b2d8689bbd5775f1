"""`pushhub top`: the figures of one or several nodes, live in the terminal."""

import select
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from pushhub.cli.client import DEFAULT_URL, ClientError, Key
from pushhub.cli.config import Json
from pushhub.cli.terminal import FAILED, USAGE, fail, say_json
from pushhub.cli.top_nodes import NodeReader, WatchedNode

# How often keys, the size of the terminal and the nodes are looked at.
TICK_SECONDS = 0.1


def top(
    urls: Annotated[
        list[str] | None,
        typer.Argument(
            envvar="PUSHHUB_URL",
            metavar="[URL]...",
            help=f"The hubs, one or several nodes; {DEFAULT_URL} otherwise.",
            show_default=False,
        ),
    ] = None,
    interval: Annotated[
        float, typer.Option(min=0.2, max=3600, help="Seconds between two reads.")
    ] = 2.0,
    once: Annotated[
        bool, typer.Option("--once", help="Print the figures of one interval, and exit.")
    ] = False,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Show nodes, holds, rates, latencies, the origin and limits, live; q or Ctrl-C ends it.

    The key must manage '*', as for /metrics. --json prints a line for each interval. Exit code 1
    with --once: a node is away.
    """
    try:
        nodes = [WatchedNode(url.rstrip("/"), key) for url in urls or [DEFAULT_URL]]
    except ClientError as error:
        fail(str(error), code=USAGE)
    reader = NodeReader(nodes, interval)
    try:
        if once:
            _once(reader, interval, as_json=as_json)
        elif as_json or not sys.stdout.isatty():
            _print_all(reader, interval, as_json=as_json)
        else:
            _live(reader)
    except KeyboardInterrupt:
        pass
    finally:
        reader.close()
    raise typer.Exit(FAILED if once and any(node.away for node in nodes) else 0)


def _read(reader: NodeReader) -> None:
    reader.begin(time.monotonic())
    reader.finish()


def _once(reader: NodeReader, interval: float, *, as_json: bool) -> None:
    _read(reader)
    if all(node.away for node in reader.nodes):
        _show(reader, as_json=as_json)
        return
    time.sleep(interval)
    for node in reader.nodes:
        node.due = 0.0
    _read(reader)
    _show(reader, as_json=as_json)


def _print_all(reader: NodeReader, interval: float, *, as_json: bool) -> None:
    """Print the figures of each interval, until Ctrl-C or the end of the pipe."""
    _read(reader)
    while True:
        time.sleep(interval)
        _read(reader)
        _show(reader, as_json=as_json)


def _show(reader: NodeReader, *, as_json: bool) -> None:
    # Imported here, so that other commands start faster.
    from rich.console import Console

    from pushhub.cli.top_view import snapshot, view

    if as_json:
        say_json(snapshot(reader.nodes))
        return
    console = Console(width=None if sys.stdout.isatty() else 100, highlight=False)
    console.print(view(reader.nodes))


def _live(reader: NodeReader) -> None:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

    from pushhub.cli.top_view import view

    console = Console(highlight=False)
    shown: object = None
    with (
        _keys() as keys,
        Live(console=console, screen=True, auto_refresh=False, vertical_overflow="crop") as live,
    ):
        while True:
            reader.begin(time.monotonic())
            now = (console.size, int(time.monotonic()))
            if now != shown:
                shown = now
                head = Text(f"pushhub top  {time.strftime('%H:%M:%S')}  q quits\n", style="dim")
                live.update(Group(head, view(reader.nodes)), refresh=True)
            if keys(TICK_SECONDS) in ("q", "Q"):
                return


@contextmanager
def _keys() -> Iterator["_Keys"]:
    """Single keys of the terminal, without their echo; the terminal's state is restored."""
    if not sys.stdin.isatty():
        yield _Keys(None)
        return
    import termios
    import tty

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield _Keys(descriptor)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


class _Keys:
    """Waits for a key; without a terminal it only waits."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def __call__(self, seconds: float) -> str:
        """The next key within so many seconds; empty without one."""
        import os

        if self._descriptor is None:
            time.sleep(seconds)
            return ""
        ready, _, _ = select.select([self._descriptor], [], [], seconds)
        return os.read(self._descriptor, 1).decode("latin-1") if ready else ""
