"""`pushhub tail`: print a channel's events as they come."""

from typing import Annotated, Any

import orjson
import typer

from pushhub.cli.client import DEFAULT_URL, ClientError, HubClient, Key, Url
from pushhub.cli.config import Json
from pushhub.cli.follow import Refused, TailError, TailFollower, TailGap
from pushhub.cli.publish import channel_path
from pushhub.cli.terminal import USAGE, fail, note, say, say_json
from pushhub.log.cursor import CursorError, parse_since


def tail(
    channel: Annotated[str, typer.Argument(help="The channel to follow.")],
    since: Annotated[
        str, typer.Option(metavar="CURSOR", help="The start: a cursor, 'earliest' or 'now'.")
    ] = "earliest",
    wait: Annotated[
        int, typer.Option(min=1, max=55, help="The longest wait of a request, in seconds.")
    ] = 25,
    count: Annotated[
        int | None,
        typer.Option(min=1, help="Exit after this number of events.", show_default=False),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Print the present events, and exit.")
    ] = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Follow a channel with long-polls. With --json each event is a line as the feed lists it.

    Gaps go to standard error. The command reconnects automatically; Ctrl-C ends it.
    """
    path = channel_path(channel) + "/events"
    try:
        parse_since(since)
    except CursorError as error:
        fail(str(error), code=USAGE)
    try:
        with HubClient(url, key) as hub:
            follow(TailFollower(hub, path, since, wait), as_json=as_json, count=count, once=once)
    except ClientError as error:
        fail(str(error), code=USAGE)
    except Refused as error:
        fail(str(error))
    except KeyboardInterrupt:
        raise typer.Exit from None


def follow(follower: TailFollower, *, as_json: bool, count: int | None, once: bool) -> None:
    """Print the events and notes of the follower, at most `count` events."""
    printed, down = 0, False
    for item in follower.follow(once=once):
        match item:
            case TailGap():
                note(f"GAP ({item.reason}): events may be missing; continuing from {item.oldest}")
            case TailError():
                if not down:
                    note(f"{item.reason}. Trying again.")
                down = True
            case event:
                down = False
                if as_json:
                    say_json(event)
                else:
                    say(pretty(event))
                printed += 1
                if printed == count:
                    return


def pretty(event: dict[str, Any]) -> str:
    """An event as a line: time, cursor, type and data, in colours if the terminal has them."""
    data = event.get("data")
    text = data if isinstance(data, str) else orjson.dumps(data).decode()
    parts = [
        typer.style(str(event.get("time", "")), fg="bright_black"),
        typer.style(str(event.get("cursor", "")), fg="cyan"),
    ]
    if kind := event.get("type"):
        parts.append(typer.style(str(kind), fg="green"))
    return " ".join([*parts, printable(text.rstrip("\n"))])


def printable(text: str) -> str:
    """Text with escaped control characters, which the terminal would obey (CWE-150)."""
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)
