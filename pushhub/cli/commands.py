"""The table of the commands, and the command line of all of them, or of one."""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple

import typer

from pushhub import __version__
from pushhub.cli.help import GroupedCommand

_EPILOG = "Exit codes: 0 done, 1 refused or failed, 2 wrong usage or settings."


class CommandEntry(NamedTuple):
    """A command, or a group of commands, and the module of `pushhub.cli` that has it."""

    module: str
    function: str = ""
    """The function of a command; a group is the `app` of its module."""
    short_help: str | None = None
    is_grouped: bool = True
    """Whether the help lists the options by subject."""


# In the order of the help.
COMMANDS = {
    "serve": CommandEntry("serve", "serve"),
    "init": CommandEntry("init", "init", "Write a first file of settings.", is_grouped=False),
    "publish": CommandEntry("publish", "publish"),
    "tail": CommandEntry("tail", "tail"),
    "delete": CommandEntry("delete", "delete", "Delete the events of channels."),
    "reload": CommandEntry("reload", "reload", "Let a hub read its settings again."),
    "bench": CommandEntry("bench", "bench", "Put a load on a hub and print the results."),
    "capacity": CommandEntry("capacity", "capacity", "Estimate what a load needs."),
    "doctor": CommandEntry("doctor", "doctor", "Check the settings, the machine and the store."),
    "top": CommandEntry("top", "top", "Show the figures of nodes, live."),
    "try": CommandEntry(
        "trial", "try_api", "Compare polling with waiting on your own API.", is_grouped=False
    ),
    "conformance": CommandEntry(
        "conformance", "conformance", "Test a client from outside.", is_grouped=False
    ),
    "token": CommandEntry("token"),
    "key": CommandEntry("key"),
    "user": CommandEntry("user"),
    "config": CommandEntry("config"),
    # It has the rest of the group too.
    "routes": CommandEntry("suggest"),
    "sources": CommandEntry("sources"),
    "store": CommandEntry("store", short_help="Back up, check and fence the log."),
}


def command_line(first: str = "") -> typer.Typer:
    """The command line. If its first argument is the name of a command, only this command is
    imported: the modules of all commands take longer than the start of a hub.
    """
    app = typer.Typer(
        name="pushhub",
        epilog=_EPILOG,
        no_args_is_help=True,
        pretty_exceptions_show_locals=False,  # local variables can be secrets
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(pushhub)
    for name in [first] if first in COMMANDS else COMMANDS:
        entry = COMMANDS[name]
        module = import_module(f"pushhub.cli.{entry.module}")
        if not entry.function:
            app.add_typer(module.app, name=name, short_help=entry.short_help)
            continue
        kind = GroupedCommand if entry.is_grouped else None
        add = app.command(
            name,
            cls=kind,
            epilog=_EPILOG,
            short_help=entry.short_help,
            # The options after another program's name are that program's.
            context_settings={"allow_interspersed_args": name != "conformance"},
        )
        add(getattr(module, entry.function))
    return app


def _version(value: bool) -> None:
    if value:
        typer.echo(f"pushhub {__version__}")
        raise typer.Exit


def pushhub(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """A realtime push service for HTTP: a poll is a read of a log that is allowed to wait."""
