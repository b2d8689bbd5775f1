"""`pushhub reload`: let a hub read its settings again."""

from pushhub.cli.client import CONNECTION_ERRORS, DEFAULT_URL, ClientError, HubClient, Key, Url, why
from pushhub.cli.config import Json
from pushhub.cli.terminal import USAGE, fail, note, say, say_json

# The server waits for its workers, 10 s at most.
SECONDS = 30.0


def reload(url: Url = DEFAULT_URL, key: Key = None, as_json: Json = False) -> None:
    """Let a hub read its API keys, token keys, limits, namespaces and routes again.

    Prints a sentence for each change. Invalid settings change nothing. Needs an admin key.
    """
    try:
        with HubClient(url, key) as hub:
            response = hub.request("POST", "/v1/reload", timeout=SECONDS)
            if response.status != 200:
                fail(response.problem)
            result = response.json()
    except ClientError as error:
        fail(str(error), code=USAGE)
    except CONNECTION_ERRORS as error:
        fail(f"{url} cannot be reached: {why(error)}. Is the hub running? (pushhub serve)")
    if as_json:
        say_json(result)
        return
    for sentence in result["changes"] or ["Nothing has changed."]:
        say(sentence)
    for sentence in result["needs_restart"]:
        note(sentence)
