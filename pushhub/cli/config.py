"""`pushhub config`: print the settings, check them, and print their reference."""

import json
from typing import Annotated, Any

import typer

from pushhub.cli.flags import with_settings
from pushhub.cli.help import GroupedCommand
from pushhub.cli.serve import start_error
from pushhub.cli.terminal import fail, note, say, say_json
from pushhub.settings import Loaded
from pushhub.settings.field import is_secret
from pushhub.settings.model import Settings
from pushhub.settings.reference import markdown, names
from pushhub.store.urls import MASK, without_password

app = typer.Typer(help="Print and check the settings.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command(cls=GroupedCommand, short_help="Print every setting and its source.")
@with_settings
def show(loaded: Loaded, as_json: Json = False) -> None:
    """Print every setting with its source: a flag, the environment, the file or the default."""
    values = shown(loaded.settings)
    if as_json:
        say_json({n: {"value": values[n], "origin": loaded.origins[n]} for n in values})
        return
    width = max(map(len, values))
    for name, value in values.items():
        say(f"{name:{width}}  {loaded.origins[name]:7}  {json.dumps(value, ensure_ascii=False)}")


@app.command(cls=GroupedCommand)
@with_settings
def check(loaded: Loaded, as_json: Json = False) -> None:
    """Check whether a server would start with these settings. Exit code 1: it would not."""
    wrong = start_error(loaded.settings)
    if as_json:
        ignored = {"ignored": loaded.ignored} if loaded.ignored else {}
        say_json({"ok": wrong is None, **({"problem": wrong} if wrong else {}), **ignored})
        raise typer.Exit(1 if wrong else 0)
    if loaded.ignored:
        note(loaded.ignored)
    if wrong:
        fail(wrong)
    say(f"The settings are valid ({loaded.file or 'no file'}).")


@app.command(short_help="Print the settings reference as Markdown.")
def docs() -> None:
    """Print the reference of all settings as Markdown, as in docs/settings.md."""
    typer.echo(markdown(), nl=False)


def shown(settings: Settings) -> dict[str, Any]:
    """The settings as JSON values, without secrets; pydantic masks those of token keys, and an API
    key is configured as a hash.
    """
    values: dict[str, Any] = settings.model_dump(mode="json")
    for name, field in Settings.model_fields.items():
        if is_secret(field) and isinstance(values[name], str):
            values[name] = without_password(settings.store) if name == "store" else MASK
    return {name: values[name] for name in names()}
