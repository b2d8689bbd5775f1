"""`pushhub sources`: set up the sources of notifications."""

import json
import re
from typing import Annotated

import typer

from pushhub.cli.config import Json
from pushhub.cli.terminal import USAGE, fail, note, say, say_json
from pushhub.http.path_pattern import PatternError, parse_pattern
from pushhub.origin.sources.trigger import resources_of_table, trigger_sql

app = typer.Typer(help="Set up databases that notify of changes.", no_args_is_help=True)

_TABLE = re.compile(r"(?:([^.\0]{1,63})\.)?([^.\0]{1,63})")
_CHANNEL = re.compile(r"[\x21-\x7e]{1,63}")


@app.callback()
def group() -> None:
    """Set up databases that notify of changes."""


@app.command(short_help="Print the triggers of a PostgreSQL table.")
def postgres(
    table: Annotated[str, typer.Option(help="The table: NAME or SCHEMA.NAME.")],
    resource: Annotated[
        list[str],
        typer.Option(
            metavar="PATH",
            help="A resource of each row, with columns as {names}: '/orders/{id}'; or a resource "
            "of the whole table. Repeatable.",
        ),
    ],
    channel: Annotated[str, typer.Option(help="The channel of NOTIFY.")] = "pushhub",
    as_json: Json = False,
) -> None:
    """Print the SQL of triggers that notify of the changes of a PostgreSQL table, for psql. The
    lines for pushhub.toml go to the standard error.
    """
    named = _TABLE.fullmatch(table)
    if named is None:
        fail("A table is NAME or SCHEMA.NAME.", code=USAGE)
    if not _CHANNEL.fullmatch(channel):
        fail("A channel has 1 to 63 visible characters of ASCII.", code=USAGE)
    for text in resource:
        try:
            pattern = parse_pattern(text)
        except PatternError as error:
            fail(str(error), code=USAGE)
        if pattern.rest is not None:
            fail(
                "A resource of rows has no '*'; write {column} for its changing parts.", code=USAGE
            )
    schema, name = named[1] or "public", named[2]
    sql = trigger_sql(name, resource, channel, schema)
    resources = resources_of_table(resource)
    toml = "\n".join(
        [
            "[[sources]]",
            f"name = {json.dumps(name)}",
            'kind = "postgres"',
            'dsn_file = "postgres.dsn"     # host=… dbname=… user=… password=…',
            *([f"channel = {json.dumps(channel)}"] if channel != "pushhub" else []),
            f"resources = {json.dumps(resources)}",
        ]
    )
    if as_json:
        say_json({"sql": sql, "toml": toml})
        return
    say(sql.rstrip("\n"))
    note(f"\nIn pushhub.toml:\n\n{toml}")
