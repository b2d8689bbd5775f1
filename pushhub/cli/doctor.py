"""`pushhub doctor`: check the settings, this machine and the store, and print the remedies."""

import typer

from pushhub.cli.config import Json
from pushhub.cli.flags import with_settings
from pushhub.cli.serve import start_error
from pushhub.cli.tail import printable
from pushhub.cli.terminal import FAILED, say, say_json
from pushhub.settings import Loaded

_COLOURS = {"ok": "green", "warn": "yellow", "bad": "red"}


@with_settings
def doctor(loaded: Loaded, as_json: Json = False) -> None:
    """Check the settings, this machine and the store, and say what to do. Changes nothing.

    Exit code 1: a finding is bad.
    """
    # Imported here, so that other commands start faster.
    from pushhub.doctor import Finding, Severity, examine

    findings = []

    def report(finding: Finding) -> None:
        findings.append(finding)
        if not as_json:
            level = typer.style(f"{finding.level:4}", fg=_COLOURS[finding.level], bold=True)
            say(f"{level} {finding.check:12} {printable(finding.sentence)}")

    wrong = start_error(loaded.settings)
    where = loaded.file or "no file"
    report(
        Finding("settings", Severity.BAD, wrong)
        if wrong
        else Finding("settings", Severity.OK, f"A server starts with these settings ({where}).")
    )
    for warning in loaded.warnings:
        report(Finding("secrets", Severity.WARN, f"{warning}."))
    if loaded.ignored:
        report(Finding("environment", Severity.WARN, loaded.ignored))
    for finding in examine(loaded.settings):
        report(finding)
    is_good = all(finding.level is not Severity.BAD for finding in findings)
    if as_json:
        entries = [
            {"check": one.check, "level": one.level, "sentence": one.sentence} for one in findings
        ]
        say_json({"ok": is_good, "findings": entries})
    raise typer.Exit(0 if is_good else FAILED)
