"""`pushhub delete`: delete channels."""

from typing import Annotated
from urllib.parse import quote

import typer

from pushhub.cli.client import CONNECTION_ERRORS, DEFAULT_URL, ClientError, HubClient, Key, Url, why
from pushhub.cli.config import Json
from pushhub.cli.publish import channel_path
from pushhub.cli.terminal import USAGE, fail, say, say_json

# A request deletes up to 10,000 channels.
SECONDS = 120.0


def delete(
    channel: Annotated[str | None, typer.Argument(help="The channel.", show_default=False)] = None,
    prefix: Annotated[
        str,
        typer.Option(
            help="Instead: all channels whose names begin with this prefix.", show_default=False
        ),
    ] = "",
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Delete the events of a channel, or of all channels with a prefix. Readers are notified.

    Prints the number of channels.
    """
    if bool(channel) == bool(prefix):
        fail("Name a channel, or --prefix.", code=USAGE)
    path = channel_path(channel) if channel else f"/v1/channels?prefix={quote(prefix, safe='')}"
    count = 0
    try:
        with HubClient(url, key) as hub:
            more = True
            while more:
                response = hub.request("DELETE", path, timeout=SECONDS)
                if not 200 <= response.status < 300:
                    fail(response.problem)
                result = {"deleted": 1} if response.status == 204 else response.json()
                count += int(result["deleted"])
                # `more` comes only after some deletes, so this loop ends.
                more = bool(result.get("more"))
    except ClientError as error:
        fail(str(error), code=USAGE)
    except CONNECTION_ERRORS as error:
        fail(f"{url} cannot be reached: {why(error)}. Is the hub running? (pushhub serve)")
    if as_json:
        say_json({"deleted": count})
    else:
        say(str(count))
