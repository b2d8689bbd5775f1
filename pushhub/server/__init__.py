"""The process: sockets, start, drain, workers, and HTTP/1.1 connections."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.settings import Settings


def run(settings: Settings, reload_settings: Callable[[], Settings] | None = None) -> int:
    """Serve with the configured number of workers. Returns the exit status.

    With `reload_settings`, SIGHUP takes the routes of the settings that `reload_settings` returns.
    """
    from pushhub.server import listen_error
    from pushhub.server.inherited_sockets import InheritedSocketError, check, inherited_sockets
    from pushhub.server.notify_socket import NotifySocket
    from pushhub.server.reload import Reload
    from pushhub.server.sockets import Listeners, bind, bind_control, bind_one, for_each

    manager = NotifySocket.from_environment(os.environ)
    try:
        inherited = inherited_sockets(os.environ)
        check(inherited, settings)
    except InheritedSocketError as error:
        return _fail(str(error))
    reload = None if reload_settings is None else Reload(settings, reload_settings)
    count, unix = settings.workers, None
    try:
        # First, before uvicorn logs an error of its own.
        controls = inherited.controls or bind_control(settings)
    except OSError as error:
        assert settings.control_address is not None
        return _fail(listen_error.sentence(*settings.control_address, "--control", error))
    try:
        if inherited.publics:
            publics = inherited.publics
            if isinstance(path := publics[0].getsockname(), str):
                settings = settings.model_copy(update={"unix_socket": path})
        elif settings.unix_socket is not None:
            from pushhub.server.unix_socket import UnixSocket

            unix = UnixSocket(settings.unix_socket, settings.unix_socket_mode)
            publics = [unix.sock]
        elif count > 1:
            publics = bind(settings.host, settings.port, count)
        else:
            publics = bind_one(settings.host, settings.port)
    except OSError as error:
        if settings.unix_socket is not None:
            return _fail(f"The socket {settings.unix_socket} cannot be used: {error.strerror}.")
        return _fail(listen_error.sentence(settings.host, settings.port, "--port", error))
    is_public_shared = bool(inherited.publics or unix)
    listeners = [
        Listeners(*pair)
        for pair in zip(
            for_each(publics, count, shared=is_public_shared),
            for_each(controls, count, shared=bool(inherited.controls)),
            strict=True,
        )
    ]
    try:
        if count > 1:
            from pushhub.server.supervisor import Supervisor

            shared = is_public_shared or bool(inherited.controls)
            return Supervisor(settings, listeners, reload, manager, shared=shared).run()
        from pushhub.server.server import run as serve

        return serve(settings, listeners[0], reload, manager)
    finally:
        manager.close()
        if unix is not None:
            unix.remove()


def _fail(sentence: str) -> int:
    sys.stderr.write(f"pushhub: {sentence}\n")
    return 1
