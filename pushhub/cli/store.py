"""`pushhub store`: backups of the log in an SQLite file."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from pushhub.cli import fence
from pushhub.cli.audit import command_audit
from pushhub.cli.config import Json
from pushhub.cli.flags import ConfigFile, read_settings
from pushhub.cli.tail import printable
from pushhub.cli.terminal import FAILED, USAGE, fail, say, say_json
from pushhub.settings import Settings
from pushhub.store.base import StoreError
from pushhub.store.urls import sqlite_file

if TYPE_CHECKING:
    from pushhub.store.sqlite.backup import CheckReport

_HELP = "Back up, restore, check and compact the log in SQLite; fence it in Redis."
app = typer.Typer(help=_HELP, no_args_is_help=True)

T = TypeVar("T")
MIB = 1024 * 1024

Backup = Annotated[Path, typer.Argument(metavar="FILE", help="The backup.", show_default=False)]


@app.callback()
def group() -> None:
    """Back up, restore, check and compact the log in an SQLite file, which is that of the settings;
    fence the log in Redis, which has its own means of backup (docs/backup.md).
    """


app.command(short_help="Restart Redis without a gap for its readers.")(fence.fence)


@app.command()
def backup(
    file: Backup,
    replace: Annotated[bool, typer.Option("--replace", help="Replace FILE if it exists.")] = False,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Copy the log to FILE, while the hub runs and events come."""
    from pushhub.store.sqlite import backup as sqlite_backup

    settings, path = _store(config)
    report = _audited(
        settings,
        ("store.backup", str(file)),
        lambda: sqlite_backup.backup(path, str(file), replace=replace),
    )
    if as_json:
        say_json({"backup": str(file), "channels": report.channels, "events": report.events})
    else:
        say(f"{file} has {_counts(report)}.")


@app.command()
def restore(file: Backup, config: ConfigFile = None, as_json: Json = False) -> None:
    """Replace the log by a backup. The hub must not run; the former log is kept.

    Readers that come back receive a gap.
    """
    from pushhub.store.sqlite import backup as sqlite_backup

    settings, path = _store(config)
    former = _audited(
        settings, ("store.restore", str(file)), lambda: sqlite_backup.restore(path, str(file))
    )
    if as_json:
        say_json({"database": path, "former": former or None})
        return
    say(f"{file} is now the log in {path}.")
    if former:
        say(f"The former log is {former}; remove it when you no longer need it.")


@app.command()
def check(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE", help="The backup to check; else the log itself.", show_default=False
        ),
    ] = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Check every page of the log, or of a backup. Changes nothing; the hub may run.

    Exit code 1: the file is damaged.
    """
    from pushhub.store.sqlite import backup as sqlite_backup

    path = str(file) if file else _store(config)[1]
    report = _run(lambda: sqlite_backup.check(path))
    if as_json:
        say_json(
            {
                "ok": not report.faults,
                "database": report.path,
                "schema": report.schema,
                "channels": report.channels,
                "events": report.events,
                "bytes": report.bytes,
                "free_bytes": report.free_bytes,
                "faults": list(report.faults),
            }
        )
    elif report.faults:
        for fault in report.faults:
            say(printable(fault))
    else:
        say(
            f"{path} is complete: {_counts(report)}, {report.bytes / MIB:,.1f} MiB, of which "
            f"{report.free_bytes / MIB:,.1f} are free; schema {report.schema}."
        )
    raise typer.Exit(FAILED if report.faults else 0)


@app.command()
def compact(config: ConfigFile = None, as_json: Json = False) -> None:
    """Rewrite the log without its free pages. The hub must not run; readers notice nothing.

    A file of an earlier version needs this once, to give pages back automatically.
    """
    from pushhub.store.sqlite import backup as sqlite_backup

    settings, path = _store(config)
    before, after = _audited(settings, ("store.compact", path), lambda: sqlite_backup.compact(path))
    if as_json:
        say_json({"database": path, "bytes_before": before, "bytes": after})
    else:
        say(f"{path} had {before / MIB:,.1f} MiB, and has {after / MIB:,.1f}.")


def _store(config: Path | None) -> tuple[Settings, str]:
    """The settings, and the file of their store."""
    settings = read_settings(config).settings
    store = settings.store
    if not store.startswith("sqlite:"):
        fail(
            "The store of the settings is no SQLite file; for Redis see docs/backup.md.",
            code=USAGE,
        )
    try:
        return settings, sqlite_file(store)
    except StoreError as error:
        fail(str(error), code=USAGE)


def _audited(settings: Settings, audited: tuple[str, str], work: Callable[[], T]) -> T:
    """Run `work`, whose action and file are `audited`, and record its result."""

    def recorded() -> T:
        with command_audit(settings, *audited, target_type="file"):
            return work()

    return _run(recorded)


def _run(work: Callable[[], T]) -> T:
    try:
        return work()
    except StoreError as error:
        fail(str(error))


def _counts(report: "CheckReport") -> str:
    return f"{report.events:,} events of {report.channels:,} channels"
