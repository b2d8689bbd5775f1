"""`pushhub serve`: start the server."""

import time

import typer

from pushhub import telemetry
from pushhub.auth import Authenticator, TokenKeyError
from pushhub.auth.grip_signature import grip_key
from pushhub.cli.flags import with_settings
from pushhub.cli.terminal import FAILED, USAGE, fail
from pushhub.settings import Loaded, Settings


@with_settings
def serve(loaded: Loaded) -> None:
    """Start the server. Every setting is a flag, an environment variable and a key of the file."""
    if wrong := why_not(loaded.settings):
        fail(wrong, code=USAGE)
    settings = loaded.settings
    telemetry.configure(settings.log_level, settings.log_format, access_log=settings.access_log)
    # Only here, so that every other command starts without it.
    from pushhub.server import run

    # uvicorn has exit statuses of its own, which say no more than "failed".
    raise typer.Exit(FAILED if run(settings, lambda: loaded.again().settings) else 0)


def why_not(settings: Settings) -> str | None:
    """Why a server would not start with settings that are good one by one; None if it would."""
    try:
        Authenticator(settings, time.time)
        grip_key(settings, time.time)
    except TokenKeyError as error:
        return str(error)
    return settings.refusal()
