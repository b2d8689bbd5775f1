"""The `pushhub` command: one module for each group of commands."""

from __future__ import annotations

import gc
import sys

from pushhub import __version__

# Objects before a collection of cycles. Nearly all objects of the start are modules, classes and
# functions, which stay: with CPython's 700 the collections are a tenth of the start.
GC_THRESHOLD = 50_000


def main() -> None:
    """Run the `pushhub` command."""
    if sys.argv[1:] == ["--version"]:
        # Scripts often run this; the import of one command takes a third of a second.
        print(f"pushhub {__version__}")
        return
    gc.set_threshold(GC_THRESHOLD)
    from pushhub.cli.commands import command_line

    command_line("".join(sys.argv[1:2]))()
