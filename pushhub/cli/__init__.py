"""The `pushhub` command: one module for each group of commands."""

from __future__ import annotations

import sys

from pushhub import __version__


def main() -> None:
    """Run the `pushhub` command."""
    if sys.argv[1:] == ["--version"]:
        # Scripts often run this; the import of all commands takes half a second.
        print(f"pushhub {__version__}")
        return
    from pushhub.cli.app import app

    app()
