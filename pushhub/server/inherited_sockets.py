"""Listening sockets that the service manager has opened (sd_listen_fds(3), systemd.socket(5)).

The manager keeps such a socket open while the service restarts, so connections of this time wait in
its queue. A socket with `FileDescriptorName=control` is that of the control listener.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from pushhub.server.sockets import Listeners
from pushhub.settings.host import is_local

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from pushhub.settings import Settings

# SD_LISTEN_FDS_START.
FIRST = 3
# The name of the control listener's socket; a socket with any other name is public.
CONTROL = "control"
# Two addresses of each listener are usual. A service manager has opened all of them already.
MOST = 64


class InheritedSocketError(Exception):
    """An inherited socket cannot be used; the message is a sentence with the remedy."""


def check(inherited: Listeners, settings: Settings) -> None:
    """Return if the settings allow these sockets.

    Raises:
        InheritedSocketError: a listener without keys is not on loopback, or a socket has no
            listener.
    """
    if inherited.controls and settings.control_address is None:
        raise InheritedSocketError(
            "The service manager passes a socket with the name control, but the setting "
            "`control` is not set. Set it, or remove the socket unit."
        )
    if inherited.publics and settings.unix_socket is not None:
        raise InheritedSocketError(
            "The service manager passes a socket, and the setting `unix_socket` names another "
            "one. Use ListenStream= in the socket unit, or remove that unit."
        )
    open_listeners = [
        *(inherited.publics if settings.dev else ()),
        *(inherited.controls if settings.dev or settings.is_control_open else ()),
    ]
    for sock in open_listeners:
        name = sock.getsockname()
        if isinstance(name, tuple) and not is_local(name[0]):
            raise InheritedSocketError(
                f"The service manager passes a socket on {name[0]}, but that listener needs no "
                "key, so it must be on loopback: use ListenStream=127.0.0.1:PORT."
            )


def inherited_sockets(environ: MutableMapping[str, str]) -> Listeners:
    """The sockets for this process. The variables are removed, so that no child takes them.

    Raises:
        InheritedSocketError: a descriptor is no listening socket.
    """
    count = environ.pop("LISTEN_FDS", "")
    process = environ.pop("LISTEN_PID", "")
    names = environ.pop("LISTEN_FDNAMES", "").split(":")
    found = Listeners([], [])
    if process != str(os.getpid()) or not count:
        return found
    if not (count.isascii() and count.isdigit() and int(count) <= MOST):
        raise InheritedSocketError(f"LISTEN_FDS is a number from 0 to {MOST}, not {count[:20]!r}.")
    for index in range(int(count)):
        name = names[index] if index < len(names) else ""
        (found.controls if name == CONTROL else found.publics).append(_listening(FIRST + index))
    return found


def _listening(descriptor: int) -> socket.socket:
    try:
        os.set_inheritable(descriptor, False)
        sock = socket.socket(fileno=descriptor)
    except OSError as error:
        raise InheritedSocketError(
            f"LISTEN_FDS names the descriptor {descriptor}, which is no socket: {error.strerror}."
        ) from error
    if sock.type != socket.SOCK_STREAM or not sock.getsockopt(
        socket.SOL_SOCKET, socket.SO_ACCEPTCONN
    ):
        sock.detach()
        raise InheritedSocketError(
            f"The descriptor {descriptor} of LISTEN_FDS does not listen for connections: the "
            "socket unit needs ListenStream= and Accept=no."
        )
    return sock
