"""Every setting as a flag, from the model."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from pushhub.cli.help import FIRST, MOST_USED, section
from pushhub.cli.terminal import USAGE, fail
from pushhub.settings import Loaded, Settings, SettingsError, load
from pushhub.settings.reference import default_text, kind, names, panel
from pushhub.settings.secret_files import FILE_FORMS
from pushhub.settings.sources import DEFAULT_FILE, flag_name

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help=f"The TOML file of settings; else $PUSHHUB_CONFIG, else {DEFAULT_FILE} if it exists.",
        show_default=False,
    ),
]


def read_settings(file: Path | None, flags: dict[str, str] | None = None) -> Loaded:
    """The settings of flags, environment and file; invalid ones end the command."""
    try:
        return load(flags, file=file)
    except SettingsError as error:
        fail(*error.sentences, code=USAGE)


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Add a flag for each setting and `--config` to `command(loaded, …)`, beside its own."""

    def run(config: Path | None, **options: Any) -> None:
        given = {name: options.pop(name) for name in (*Settings.model_fields, *FILE_FORMS)}
        flags = {name: _text(value) for name, value in given.items() if value is not None}
        command(read_settings(config, flags), **options)

    own = list(inspect.signature(command).parameters.values())[1:]
    parameters = [_parameter("config", ConfigFile), *map(_flag, _most_used_first())]
    parameters += [_file_flag(form, name) for form, name in FILE_FORMS.items()]
    parameters += [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__name__ = command.__name__
    run.__doc__ = command.__doc__
    return run


def _most_used_first() -> list[str]:
    return [*FIRST, *(name for name in names() if name not in FIRST)]


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _flag(name: str) -> inspect.Parameter:
    field = Settings.model_fields[name]
    default = default_text(field)
    # A default of the flag would hide the values of the environment and the file.
    help = f"{field.description} [{default}]" if default else str(field.description)
    flag = flag_name(name)
    group = MOST_USED if name in FIRST else section(panel(field))
    if field.annotation is bool:
        declaration = f"{flag}/{flag.replace('--', '--no-', 1)}"
        option = typer.Option(declaration, help=help, show_default=False, rich_help_panel=group)
        return _parameter(name, Annotated[bool | None, option])
    option = typer.Option(
        flag, metavar=kind(field), help=help, show_default=False, rich_help_panel=group
    )
    return _parameter(name, Annotated[str | None, option])


def _file_flag(form: str, name: str) -> inspect.Parameter:
    option = typer.Option(
        flag_name(form),
        metavar="FILE",
        help=f"The file with the value of {flag_name(name)}, which no other user sees.",
        show_default=False,
        rich_help_panel=section(panel(Settings.model_fields[name])),
    )
    return _parameter(form, Annotated[str | None, option])


def _parameter(name: str, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )
