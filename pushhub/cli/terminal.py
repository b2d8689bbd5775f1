"""The output of commands: results on standard output, everything else on standard error."""

from typing import Any, NoReturn

import orjson
import typer

FAILED = 1
USAGE = 2


def say(text: str) -> None:
    """Print a result immediately: output often goes into a pipe."""
    typer.echo(text)


def say_json(value: Any) -> None:
    """Print a result as one line of JSON."""
    typer.echo(orjson.dumps(value))


def note(text: str) -> None:
    """Print a note for the user that is not the result."""
    typer.secho(text, err=True, fg="yellow")


def fail(*sentences: str, code: int = FAILED) -> NoReturn:
    """Print what is wrong, and exit.

    Raises:
        typer.Exit: always.
    """
    for sentence in sentences:
        typer.secho(f"pushhub: {sentence}", err=True, fg="red")
    raise typer.Exit(code)
