"""`pushhub publish`: publish one event."""

import sys
from typing import Annotated

import typer

from pushhub.cli.client import CONNECTION_ERRORS, DEFAULT_URL, ClientError, HubClient, Key, Url, why
from pushhub.cli.config import Json
from pushhub.cli.terminal import USAGE, fail, say, say_json
from pushhub.log.channel import ChannelNameError, encode_segment, public_name

# The headers of the command's options, in their order.
_HEADERS = ("Event-Type", "Event-Id", "Content-Type", "Idempotency-Key")


def publish(
    channel: Annotated[str, typer.Argument(help="Where to.")],
    data: Annotated[
        str,
        typer.Argument(help="The event: JSON or text; '-', or no argument, reads standard input."),
    ] = "-",
    type: Annotated[str, typer.Option(help="The event's type.")] = "",
    id: Annotated[str, typer.Option(help="The event's id; otherwise the hub sets one.")] = "",
    content_type: Annotated[
        str,
        typer.Option(
            help="The content type of the data; else JSON if it parses, else text or bytes."
        ),
    ] = "",
    idempotency_key: Annotated[
        str, typer.Option(help="The same key within 5 minutes is the same event.")
    ] = "",
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Publish one event and print its cursor."""
    path = channel_path(channel) + "/events"
    values = (type, id, content_type, idempotency_key)
    headers = {name: value for name, value in zip(_HEADERS, values, strict=True) if value}
    body = sys.stdin.buffer.read() if data == "-" else data.encode("utf-8", "surrogateescape")
    try:
        with HubClient(url, key) as hub:
            response = hub.request("POST", path, headers, body)
            if not 200 <= response.status < 300:
                fail(response.problem)
            receipt = response.json()
    except ClientError as error:
        fail(str(error), code=USAGE)
    except CONNECTION_ERRORS as error:
        fail(f"{url} cannot be reached: {why(error)}. Is the hub running? (pushhub serve)")
    if as_json:
        say_json(receipt)
    else:
        say(str(receipt.get("cursor", "")))


def channel_path(channel: str) -> str:
    """The path of a channel; an invalid name ends the command."""
    try:
        return "/v1/channels/" + encode_segment(public_name(channel))
    except ChannelNameError as error:
        fail(str(error), code=USAGE)
