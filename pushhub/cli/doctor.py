"""`pushhub doctor`: check the settings, this machine and the store, or what stands in front of a
hub, and print the remedies.
"""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from pushhub.cli.client import Key
from pushhub.cli.config import Json
from pushhub.cli.flags import with_settings
from pushhub.cli.serve import start_error
from pushhub.cli.tail import printable
from pushhub.cli.terminal import FAILED, USAGE, fail, note, say, say_json
from pushhub.settings import Loaded

if TYPE_CHECKING:
    from pushhub.doctor import Finding

_COLOURS = {"ok": "green", "warn": "yellow", "bad": "red"}
# The longest wait and the keep-alive time of the default settings, with the short probes before.
THROUGH_SECONDS = 100.0


class Findings:
    """The findings so far, printed one by one."""

    def __init__(self, *, as_json: bool) -> None:
        self._findings: list[Finding] = []
        self._as_json = as_json
        self._shows_progress = not as_json and sys.stderr.isatty()

    def report(self, finding: "Finding") -> None:
        self._findings.append(finding)
        if not self._as_json:
            self.clear()
            level = typer.style(f"{finding.level:4}", fg=_COLOURS[finding.level], bold=True)
            say(f"{level} {finding.check:12} {printable(finding.sentence)}")

    def progress(self, gone: float, left: float) -> None:
        """Show the time, on a terminal."""
        if self._shows_progress:
            self.clear()
            typer.echo(f"{gone:.0f} s, at most {left:.0f} s more", err=True, nl=False)

    def clear(self) -> None:
        """Remove the line of the time."""
        if self._shows_progress:
            typer.echo("\r\x1b[K", err=True, nl=False)

    def finish(self) -> None:
        """Print the sum, and exit.

        Raises:
            typer.Exit: always.
        """
        self.clear()
        is_good = all(finding.level != "bad" for finding in self._findings)
        if self._as_json:
            entries = [
                {"check": one.check, "level": one.level, "sentence": one.sentence}
                for one in self._findings
            ]
            say_json({"ok": is_good, "findings": entries})
        raise typer.Exit(0 if is_good else FAILED)


@with_settings
def doctor(
    loaded: Loaded,
    through: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Instead: check the proxies in front of the hub at this URL.",
            show_default=False,
        ),
    ] = None,
    key: Key = None,
    seconds: Annotated[
        float, typer.Option(min=5, max=3700, help="With --through: the most time that it takes.")
    ] = THROUGH_SECONDS,
    wait: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=55,
            help="With --through: the wait to try; else the longest of the hub.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check the settings, this machine and the store, and say what to do. Changes nothing.

    With --through URL: check what stands in front of a hub that runs, through that. The key must
    read, publish and manage 'doctor:*', channels of the probes that are deleted afterwards.

    Exit code 1: a finding is bad.
    """
    findings = Findings(as_json=as_json)
    if through is not None:
        _through(through, key, seconds, wait, findings)
    else:
        _examine(loaded, key, findings)
    findings.finish()


def _examine(loaded: Loaded, key: str | None, findings: Findings) -> None:
    # Imported here, so that other commands start faster.
    from pushhub.doctor import Finding, Severity, examine

    wrong = start_error(loaded.settings)
    where = loaded.file or "no file"
    findings.report(
        Finding("settings", Severity.BAD, wrong)
        if wrong
        else Finding("settings", Severity.OK, f"A server starts with these settings ({where}).")
    )
    for warning in loaded.warnings:
        findings.report(Finding("secrets", Severity.WARN, f"{warning}."))
    if loaded.ignored:
        findings.report(Finding("environment", Severity.WARN, loaded.ignored))
    for finding in examine(loaded.settings, key):
        findings.report(finding)


def _through(
    url: str, key: str | None, seconds: float, wait: int | None, findings: Findings
) -> None:
    import asyncio

    from pushhub.doctor.through import examine_through

    note(f"Checking {url}; this takes up to {seconds:.0f} s.")
    try:
        asyncio.run(
            examine_through(
                url,
                key,
                seconds=seconds,
                wait=wait,
                report=findings.report,
                progress=findings.progress,
            )
        )
    except ValueError:
        fail(f"{url!r} is not a URL such as https://push.example.com.", code=USAGE)
    except KeyboardInterrupt:
        findings.clear()
        note("Stopped before the end.")
