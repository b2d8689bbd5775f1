"""The `pushhub` command: one module for each group of commands."""

from pushhub.cli.app import main

__all__ = ["main"]
