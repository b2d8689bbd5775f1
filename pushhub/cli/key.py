"""`pushhub key`: make API keys."""

import json
from typing import Annotated

import typer
from pydantic import ValidationError

from pushhub.auth.api_keys import new_secret, secret_hash
from pushhub.cli.config import Json
from pushhub.cli.terminal import USAGE, fail, note, say, say_json
from pushhub.settings import ApiKey
from pushhub.settings.errors import sentences

app = typer.Typer(help="Make API keys for back ends and operators.", no_args_is_help=True)

Patterns = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN",
        help="A channel or a prefix and '*'; may be repeated.",
        show_default=False,
    ),
]


@app.callback()
def group() -> None:
    """Make API keys for back ends and operators."""


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="The user of the key.")],
    read: Patterns = None,
    publish: Patterns = None,
    manage: Patterns = None,
    admin: Annotated[
        bool,
        typer.Option("--admin", help="All rights: for operators, the console and the metrics."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Make an API key. The command prints its secret once; the settings store only its hash."""
    given = [read, publish, manage]
    if admin and any(given):
        fail("--admin gives all rights; use it alone, or name the rights.", code=USAGE)
    if not admin and not any(given):
        fail(
            "The key needs rights: --publish 'orders:*' for a back end that publishes, --admin for "
            "an operator's key with all rights.",
            code=USAGE,
        )
    lists = {"read": read or [], "publish": publish or [], "manage": manage or []}
    if admin:
        lists = {right: ["*"] for right in lists}
    secret, fields = new_key(name, lists)
    toml = as_toml(fields)
    env = "PUSHHUB_API_KEYS=" + shell_quoted(json.dumps([fields], ensure_ascii=False))
    if as_json:
        say_json({"secret": secret, "key": fields, "toml": toml, "env": env})
        return
    note("The secret, shown only now:")
    say(secret)
    note("\nIn pushhub.toml:")
    say(toml)
    note("\nor in the environment:")
    say(env)


def new_key(name: str, lists: dict[str, list[str]]) -> tuple[str, dict[str, str | list[str]]]:
    """A new secret, and the entry of `api_keys` for it; the rights are lists of patterns."""
    secret = new_secret()
    try:
        key = ApiKey(name=name, sha256=secret_hash(secret), **lists)
    except ValidationError as error:
        fail(*sentences(error, str), code=USAGE)
    return secret, {k: value for k, value in key.model_dump().items() if value}


def as_toml(fields: dict[str, str | list[str]]) -> str:
    """An entry of the list `api_keys`. A JSON text or list of texts is a TOML one, too."""
    lines = [f"{k} = {json.dumps(value, ensure_ascii=False)}" for k, value in fields.items()]
    return "\n".join(["[[api_keys]]", *lines])


def shell_quoted(text: str) -> str:
    """A text as a word of POSIX shells and of env files, which both have single quotes."""
    return "'" + text.replace("'", "'\\''") + "'"
