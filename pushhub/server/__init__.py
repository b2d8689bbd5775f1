"""The process: listening, draining and leaving; or several of them, on one address."""

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
    from pushhub.server.reload import Reload
    from pushhub.server.sockets import bind_control

    reload = None if reread is None else Reload(settings, reread)
    try:
        controls = bind_control(settings)
    except OSError as error:
        sys.stderr.write(f"pushhub: {settings.control} cannot be had: {error.strerror}.\n")
        return 1
    if settings.unix_socket is None:
        return _serve(settings, reload, controls, [])
    from pushhub.server.unix_socket import UnixSocket

    try:
        unix = UnixSocket(settings.unix_socket, settings.unix_socket_mode)
    except OSError as error:
        sys.stderr.write(
            f"pushhub: The socket {settings.unix_socket} cannot be used: {error.strerror}.\n"
        )
        return 1
    try:
        return _serve(settings, reload, controls, unix.sockets(settings.workers))
    finally:
        unix.remove()


def _serve(
    settings: Settings,
    reload: Reload | None,
    controls: list[socket.socket],
    publics: list[socket.socket],
) -> int:
    if settings.workers == 1:
        from pushhub.server.serving import run as serve

        return serve(settings, reload, controls, publics)
    from pushhub.server.workers import Supervisor

    try:
        supervisor = Supervisor(settings, reload, controls, publics)
    except OSError as error:
        sys.stderr.write(
            f"pushhub: {settings.host}:{settings.port} cannot be had: {error.strerror}.\n"
        )
        return 1
    return supervisor.run()
