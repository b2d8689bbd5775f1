"""`pushhub token revoke`: revoke a token, the tokens of a subject, or an API key."""

import sys
import time
from typing import Annotated, Any

import jwt
import orjson
import typer

from pushhub.cli.client import CONNECTION_ERRORS, DEFAULT_URL, ClientError, HubClient, Key, Url, why
from pushhub.cli.config import Json
from pushhub.cli.terminal import USAGE, fail, say, say_json


def revoke(
    token: Annotated[
        str | None,
        typer.Argument(help="The token, which needs a 'jti'; '-' reads it.", show_default=False),
    ] = None,
    jti: Annotated[str, typer.Option(help="Instead: the id of the token.")] = "",
    expires_at: Annotated[
        float | None,
        typer.Option(help="With --jti: its 'exp', in seconds since 1970.", show_default=False),
    ] = None,
    subject: Annotated[str, typer.Option(help="Instead: all tokens of this 'sub'.")] = "",
    before: Annotated[
        float | None,
        typer.Option(
            help="With --subject: tokens with an earlier 'iat'; now by default.", show_default=False
        ),
    ] = None,
    name: Annotated[str, typer.Option(help="Instead: the API keys of this name.")] = "",
    reason: Annotated[str, typer.Option(help="The reason, for the log.")] = "",
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Revoke a token, the tokens of a subject, or an API key, on all nodes of a hub."""
    if [bool(token), bool(jti), bool(subject), bool(name)].count(True) != 1:
        fail("Give a token, or one of --jti, --subject and --name.", code=USAGE)
    entry: dict[str, Any] = {"reason": reason} if reason else {}
    if token:
        entry |= _names_of((sys.stdin.read() if token == "-" else token).strip())
    elif jti:
        entry |= {"jti": jti} | ({} if expires_at is None else {"exp": expires_at})
    elif subject:
        entry |= {"sub": subject} | ({} if before is None else {"before": before})
    else:
        entry["key"] = name
    try:
        with HubClient(url, key) as hub:
            headers = {"Content-Type": "application/json"}
            response = hub.request("POST", "/v1/tokens/revoke", headers, orjson.dumps(entry))
            if response.status != 200:
                fail(response.problem)
            written = response.json()
    except ClientError as error:
        fail(str(error), code=USAGE)
    except CONNECTION_ERRORS as error:
        fail(f"{url} cannot be reached: {why(error)}. Is the hub running? (pushhub serve)")
    if as_json:
        say_json(written)
    else:
        say("Revoked.")


def _names_of(token: str) -> dict[str, Any]:
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError):
        fail("This is not a token (JWT).", code=USAGE)
    if not isinstance(claims.get("jti"), str):
        fail("The token has no 'jti'; revoke its subject instead, with --subject.", code=USAGE)
    expires = claims.get("exp")
    if not isinstance(expires, int | float) or expires <= time.time():
        fail("The token has expired, so there is nothing to revoke.", code=USAGE)
    return {"jti": claims["jti"], "exp": expires}
