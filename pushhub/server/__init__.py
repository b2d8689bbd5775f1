"""The process: sockets, start, drain, workers, and HTTP/1.1 connections."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from pushhub.server.reload import Reload
    from pushhub.settings import Settings


def run(settings: Settings, reread: Callable[[], Settings] | None = None) -> int:
    """Serve, with as many workers as the settings say. Returns the exit status.

    With `reread`, SIGHUP brings in the routes of the settings that it gives then.
    """
    from pushhub.server import taken
    from pushhub.server.reload import Reload
    from pushhub.server.sockets import bind, bind_control, bind_one

    reload = None if reread is None else Reload(settings, reread)
    try:
        controls = bind_control(settings)
    except OSError as error:
        assert settings.control_address is not None
        return _refuse(taken.sentence(*settings.control_address, "--control", error))
    if settings.unix_socket is not None:
        from pushhub.server.unix_socket import UnixSocket

        try:
            unix = UnixSocket(settings.unix_socket, settings.unix_socket_mode)
        except OSError as error:
            why = f"The socket {settings.unix_socket} cannot be used: {error.strerror}."
            return _refuse(why)
        try:
            return _serve(settings, unix.sockets(settings.workers), reload, controls)
        finally:
            unix.remove()
    try:
        # Before anything else, and before uvicorn logs what it cannot do.
        if settings.workers > 1:
            publics = bind(settings.host, settings.port, settings.workers)
        else:
            publics = bind_one(settings.host, settings.port)
    except OSError as error:
        return _refuse(taken.sentence(settings.host, settings.port, "--port", error))
    return _serve(settings, publics, reload, controls)


def _serve(
    settings: Settings,
    publics: list[socket.socket],
    reload: Reload | None,
    controls: list[socket.socket],
) -> int:
    if settings.workers > 1:
        from pushhub.server.supervisor import Supervisor

        return Supervisor(settings, publics, reload, controls).run()
    from pushhub.server.server import run as serve

    return serve(settings, publics, reload, controls)


def _refuse(why: str) -> int:
    sys.stderr.write(f"pushhub: {why}\n")
    return 1
