"""The process: listening, draining and leaving; or several of them, on one address."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pushhub.settings import Settings


def run(settings: Settings) -> int:
    """Serve, with as many workers as the settings say. Returns the exit status."""
    if settings.workers == 1:
        from pushhub.server.serving import run as serve

        return serve(settings)
    from pushhub.server.workers import Supervisor

    try:
        supervisor = Supervisor(settings)
    except OSError as error:
        sys.stderr.write(
            f"pushhub: {settings.host}:{settings.port} cannot be had: {error.strerror}.\n"
        )
        return 1
    return supervisor.run()
