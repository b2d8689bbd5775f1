"""`pushhub key`: make API keys."""

import json
from typing import Annotated

import typer
from pydantic import ValidationError

from pushhub.auth.keys import new_secret, secret_hash
from pushhub.cli.config import Json
from pushhub.cli.terminal import USAGE, fail, note, say, say_json
from pushhub.settings import ApiKey
from pushhub.settings.complaint import sentences

app = typer.Typer(help="Make API keys, which back ends and operators use.", no_args_is_help=True)

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
    """Make API keys, which back ends and operators use."""


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Who will use the key.")],
    read: Patterns = None,
    publish: Patterns = None,
    manage: Patterns = None,
    as_json: Json = False,
) -> None:
    """Make an API key. Its secret is printed once and kept nowhere; the settings get its hash.

    Without --read, --publish and --manage it may do everything.
    """
    if not (read or publish or manage):
        read = publish = manage = ["*"]
    secret = new_secret()
    lists = {"read": read or [], "publish": publish or [], "manage": manage or []}
    try:
        key = ApiKey(name=name, sha256=secret_hash(secret), **lists)
    except ValidationError as error:
        fail(*sentences(error, str), code=USAGE)
    fields = {k: value for k, value in key.model_dump().items() if value}
    toml = as_toml(fields)
    env = "PUSHHUB_API_KEYS=" + shell_quoted(json.dumps([fields], ensure_ascii=False))
    if as_json:
        say_json({"secret": secret, "key": fields, "toml": toml, "env": env})
        return
    note("The secret, which is shown only now:")
    say(secret)
    note("\nIn pushhub.toml:")
    say(toml)
    note("\nor in the environment:")
    say(env)


def as_toml(fields: dict[str, str | list[str]]) -> str:
    """An entry of the list `api_keys`. A JSON text or list of texts is a TOML one, too."""
    lines = [f"{k} = {json.dumps(value, ensure_ascii=False)}" for k, value in fields.items()]
    return "\n".join(["[[api_keys]]", *lines])


def shell_quoted(text: str) -> str:
    """A text as a word of POSIX shells and of env files, which know single quotes alike."""
    return "'" + text.replace("'", "'\\''") + "'"
