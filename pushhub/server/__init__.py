"""The process: listening, draining and leaving; or several of them, on one address."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.settings import Settings


def run(settings: Settings, reread: Callable[[], Settings] | None = None) -> int:
    """Serve, with as many workers as the settings say. Returns the exit status.

    With `reread`, SIGHUP brings in the routes of the settings that it gives then.
    """
    from pushhub.server.reload import Reload
    from pushhub.server.sockets import bind_control

    reload = None if reread is None else Reload(settings, reread)
    try:
        controls = bind_control(settings)
    except OSError as error:
        sys.stderr.write(f"pushhub: {settings.control} cannot be had: {error.strerror}.\n")
        return 1
    if settings.workers == 1:
        from pushhub.server.serving import run as serve

        return serve(settings, reload, controls)
    from pushhub.server.workers import Supervisor

    try:
        supervisor = Supervisor(settings, reload, controls)
    except OSError as error:
        sys.stderr.write(
            f"pushhub: {settings.host}:{settings.port} cannot be had: {error.strerror}.\n"
        )
        return 1
    return supervisor.run()
