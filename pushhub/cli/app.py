"""The command line with all commands."""

from pushhub.cli.commands import command_line

app = command_line()
