"""`pushhub conformance`: test any client from outside."""

import asyncio
import logging
import shlex
import shutil
from typing import TYPE_CHECKING, Annotated

import typer

from pushhub import telemetry
from pushhub.cli.config import Json
from pushhub.cli.tail import printable
from pushhub.cli.terminal import FAILED, USAGE, fail, say, say_json

if TYPE_CHECKING:
    from pushhub.conformance.run import CaseResult

_COLORS = {"passed": "green", "failed": "red", "unsupported": "yellow"}

Command = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="CLIENT-COMMAND...",
        help="The command that starts the client, with its arguments.",
        show_default=False,
    ),
]


def conformance(
    command: Command = None,
    case: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this case. Repeatable.", show_default=False),
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=1, max=32, help="The number of cases that run at a time.")
    ] = 4,
    list_cases: Annotated[bool, typer.Option("--list", help="Print the cases, and exit.")] = False,
    as_json: Json = False,
) -> None:
    """Test a client of pushhub, in any language, against scripted servers and real hubs on
    loopback. Runs the command once for each case; docs/protocol.md says what the command does.

    Options of this command come before CLIENT-COMMAND.

    Exit code 1: a case failed, or the client supports none.
    """
    # Imported here, so that other commands start faster.
    from pushhub.conformance.run import NAMES, CannotStart, run_cases

    names = case or NAMES
    if unknown := [name for name in names if name not in NAMES]:
        fail(f"There is no case {unknown[0]!r}; --list prints all of them.", code=USAGE)
    if list_cases:
        _list(names, as_json)
        return
    if not command:
        fail("Give the command that starts the client.", code=USAGE)
    words = shlex.split(command[0]) if len(command) == 1 else command
    if not words or shutil.which(words[0]) is None:
        fail(f"There is no command {command[0]!r}.", code=USAGE)
    telemetry.configure("error")
    # The audit log is for operators of a hub that stays.
    logging.getLogger("pushhub.audit").setLevel(logging.CRITICAL)
    width = max(len(name) for name in names)
    report = (lambda _: None) if as_json else (lambda result: _print(result, width))
    try:
        results = asyncio.run(run_cases(names, words, jobs, report))
    except CannotStart as error:
        fail(str(error), code=USAGE)
    except KeyboardInterrupt:
        raise typer.Exit(FAILED) from None
    counts = {
        verdict: sum(result.verdict.value == verdict for result in results) for verdict in _COLORS
    }
    if as_json:
        say_json({"counts": counts, "cases": [result.fields for result in results]})
    else:
        say(", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count))
    raise typer.Exit(FAILED if counts["failed"] or not counts["passed"] else 0)


def _list(names: list[str], as_json: bool) -> None:
    from pushhub.conformance.case import CASES

    if as_json:
        cases = [CASES[name] for name in names]
        say_json(
            [
                {"case": one.name, "mode": one.mode, "rule": one.rule, "section": one.section}
                for one in cases
            ]
        )
        return
    width = max(len(name) for name in names)
    for name in names:
        say(f"{name:{width}}  {CASES[name].rule}")


def _print(result: "CaseResult", width: int) -> None:
    """A row of the table; below a failure what was wrong, and where the rule stands."""
    verdict = result.verdict.value
    styled = typer.style(f"{verdict:11}", fg=_COLORS[verdict])
    say(f"{styled}  {result.case.name:{width}}  {result.seconds:4.1f} s  {result.case.rule}")
    if verdict != "failed":
        return
    indent = " " * 13
    say(indent + typer.style(printable(result.sentence), fg="red"))
    section = result.case.section.lower().replace(" ", "-")
    say(indent + typer.style(f"docs/protocol.md#{section}", dim=True))
    for line in result.errors[-5:]:
        say(indent + typer.style(printable(line), dim=True))
