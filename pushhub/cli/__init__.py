"""The `pushhub` command: one module for each group of commands."""

from __future__ import annotations

import sys

from pushhub import __version__


def main() -> None:
    """Run the `pushhub` command."""
    if sys.argv[1:] == ["--version"]:
        # Scripts ask for it often; the commands and what they import take half a second.
        print(f"pushhub {__version__}")
        return
    from pushhub.cli.app import app

    app()
