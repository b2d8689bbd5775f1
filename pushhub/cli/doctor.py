"""`pushhub doctor`: look at the settings, this machine and the store, and say what to do."""

import typer

from pushhub.cli.config import Json
from pushhub.cli.flags import with_settings
from pushhub.cli.serve import why_not
from pushhub.cli.tail import printable
from pushhub.cli.terminal import FAILED, say, say_json
from pushhub.settings import Loaded

_COLOURS = {"ok": "green", "warn": "yellow", "bad": "red"}


@with_settings
def doctor(loaded: Loaded, as_json: Json = False) -> None:
    """Check the settings, this machine and the store, and say what to do. Changes nothing.

    Exit code 1: a finding is bad.
    """
    # Only here, so that every other command starts without it.
    from pushhub.doctor import Finding, Severity, examine

    findings = []

    def tell(finding: Finding) -> None:
        findings.append(finding)
        if not as_json:
            level = typer.style(f"{finding.level:4}", fg=_COLOURS[finding.level], bold=True)
            say(f"{level} {finding.check:12} {printable(finding.sentence)}")

    wrong = why_not(loaded.settings)
    where = loaded.file or "no file"
    tell(
        Finding("settings", Severity.BAD, wrong)
        if wrong
        else Finding("settings", Severity.OK, f"A server starts with these settings ({where}).")
    )
    for finding in examine(loaded.settings):
        tell(finding)
    is_good = all(finding.level is not Severity.BAD for finding in findings)
    if as_json:
        told = [
            {"check": one.check, "level": one.level, "sentence": one.sentence} for one in findings
        ]
        say_json({"ok": is_good, "findings": told})
    raise typer.Exit(0 if is_good else FAILED)
