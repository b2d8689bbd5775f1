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
    from pushhub.server import taken
    from pushhub.server.reload import Reload
    from pushhub.server.sockets import bind_control, bind_one

    reload = None if reread is None else Reload(settings, reread)
    try:
        controls = bind_control(settings)
    except OSError as error:
        assert settings.control_address is not None
        _refuse(taken.sentence(*settings.control_address, "--control", error))
        return 1
    try:
        # Before anything else, and before uvicorn logs what it cannot do.
        if settings.workers > 1:
            from pushhub.server.workers import Supervisor

            supervisor = Supervisor(settings, reload, controls)
        else:
            publics = bind_one(settings.host, settings.port)
    except OSError as error:
        _refuse(taken.sentence(settings.host, settings.port, "--port", error))
        return 1
    if settings.workers > 1:
        return supervisor.run()
    from pushhub.server.serving import run as serve

    return serve(settings, publics, reload, controls)


def _refuse(why: str) -> None:
    sys.stderr.write(f"pushhub: {why}\n")
