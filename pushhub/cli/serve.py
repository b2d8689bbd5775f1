"""`pushhub serve`: start the server."""

import time
from pathlib import Path

import structlog
import typer

from pushhub import telemetry
from pushhub.auth import Authenticator, TokenKeyError
from pushhub.auth.grip_signature import grip_key
from pushhub.auth.jwks import JwksError, parse_jwks
from pushhub.auth.jwks_source import read_file
from pushhub.cli.flags import with_settings
from pushhub.cli.terminal import FAILED, USAGE, fail
from pushhub.settings import Loaded, Settings

log = structlog.get_logger(__name__)


@with_settings
def serve(loaded: Loaded) -> None:
    """Start the server. Every setting is a flag, an environment variable and a key of the file."""
    if wrong := start_error(loaded.settings):
        fail(wrong, code=USAGE)
    settings = loaded.settings
    telemetry.configure(settings.log_level, settings.log_format)
    for warning in loaded.warnings:
        log.warning("secret.readable", warning=warning)
    if loaded.ignored:
        log.warning("environment.ignored", warning=loaded.ignored)
    # Imported here, so that other commands start faster.
    from pushhub.server import run

    # uvicorn has several exit statuses for the same failure.
    raise typer.Exit(FAILED if run(settings, lambda: loaded.again().settings) else 0)


def start_error(settings: Settings) -> str | None:
    """The reason why a server refuses to start with valid settings; None if it starts."""
    try:
        Authenticator(settings, time.time)
        grip_key(settings, time.time)
        if settings.token_jwks is not None and "://" not in settings.token_jwks:
            parse_jwks(read_file(Path(settings.token_jwks)))
    except JwksError as error:
        return f"token_jwks: {error}"
    except TokenKeyError as error:
        return str(error)
    return settings.refusal()
