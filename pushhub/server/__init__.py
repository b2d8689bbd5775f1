"""The process: sockets, start, drain, workers, and HTTP/1.1 connections."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from pushhub.server.reload import Reload
    from pushhub.settings import Settings


def run(settings: Settings, reload_settings: Callable[[], Settings] | None = None) -> int:
    """Serve with the configured number of workers. Returns the exit status.

    With `reload_settings`, SIGHUP takes the routes of the settings that `reload_settings` returns.
    """
    from pushhub.server import listen_error
    from pushhub.server.reload import Reload
    from pushhub.server.sockets import bind, bind_control, bind_one

    reload = None if reload_settings is None else Reload(settings, reload_settings)
    try:
        controls = bind_control(settings)
    except OSError as error:
        assert settings.control_address is not None
        return _fail(listen_error.sentence(*settings.control_address, "--control", error))
    if settings.unix_socket is not None:
        from pushhub.server.unix_socket import UnixSocket

        try:
            unix = UnixSocket(settings.unix_socket, settings.unix_socket_mode)
        except OSError as error:
            return _fail(f"The socket {settings.unix_socket} cannot be used: {error.strerror}.")
        try:
            return _serve(settings, unix.sockets(settings.workers), reload, controls)
        finally:
            unix.remove()
    try:
        # First, before uvicorn logs an error of its own.
        if settings.workers > 1:
            publics = bind(settings.host, settings.port, settings.workers)
        else:
            publics = bind_one(settings.host, settings.port)
    except OSError as error:
        return _fail(listen_error.sentence(settings.host, settings.port, "--port", error))
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


def _fail(sentence: str) -> int:
    sys.stderr.write(f"pushhub: {sentence}\n")
    return 1
