"""The sockets of a server, which are bound first of all, and the reset of a connection."""

from __future__ import annotations

import errno
import select
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from pushhub.settings import Settings

# Whether several sockets can listen on one address and share the connections.
CAN_SHARE = hasattr(socket, "SO_REUSEPORT")


@dataclass(frozen=True, slots=True)
class Listeners:
    """The listening sockets of one process: those of `host` and `port`, and those of `control`."""

    publics: list[socket.socket]
    controls: list[socket.socket]


def for_each(
    sockets: list[socket.socket], count: int, *, shared: bool
) -> list[list[socket.socket]]:
    """The sockets of each of `count` workers: all of them with `shared`, else one each."""
    if count == 1:
        return [sockets]
    if shared:
        return [sockets, *([sock.dup() for sock in sockets] for _ in range(count - 1))]
    return [[sock] for sock in sockets] or [[] for _ in range(count)]


def bind(host: str, port: int, count: int) -> list[socket.socket]:
    """A socket for each worker on the same address; one socket for all if the system has no
    SO_REUSEPORT.

    Raises:
        OSError: the address cannot be bound.
    """
    if CAN_SHARE:
        # Else this server would share the port of another pushhub with workers, without an error.
        bound(host, port, shares=False).close()
    sockets = [bound(host, port, shares=CAN_SHARE and count > 1)]
    port = port_of(sockets[0])
    for _ in range(count - 1):
        sockets.append(bound(host, port, shares=True) if CAN_SHARE else sockets[0].dup())
    return sockets


def bind_one(host: str, port: int) -> list[socket.socket]:
    """The sockets of a single process: one for each address that a host's name has, on one port.

    Raises:
        OSError: an address cannot be bound, or the name has none.
    """
    sockets: list[socket.socket] = []
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    refused: OSError | None = None
    for address in dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found):
        try:
            sockets.append(bound(address, port, shares=False))
        except OSError as error:
            refused = error
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                break  # a machine without IPv6 may name an IPv6 address; all else is a failure
        else:
            port = port or port_of(sockets[0])
    if refused is not None and (not sockets or refused.errno == errno.EADDRINUSE):
        for sock in sockets:
            sock.close()
        raise refused
    return sockets


def bind_control(settings: Settings) -> list[socket.socket]:
    """A socket for each worker on the control address; none without that setting.

    Raises:
        OSError: the address cannot be bound.
    """
    if settings.control_address is None:
        return []
    return bind(*settings.control_address, settings.workers)


def bound(host: str, port: int, *, shares: bool) -> socket.socket:
    """A socket that is bound to an address; with `shares` other sockets may have the same one.

    Raises:
        OSError: the address cannot be bound.
    """
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shares:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if sock.family == socket.AF_INET6:
            # As asyncio does for a single process.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
    except BaseException:
        sock.close()
        raise
    return sock


def port_of(sock: socket.socket) -> int:
    """The port that a socket is bound to; 0 for a Unix socket."""
    name = sock.getsockname()
    port: int = name[1] if isinstance(name, tuple) else 0
    return port


def reset(transport: asyncio.Transport) -> None:
    """Reset the connection, so that the other side sees an error and not an end."""
    if (sock := transport.get_extra_info("socket")) is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def accept_queued(listening: socket.socket, most: int) -> list[socket.socket]:
    """Accept the connections in the queue of a socket that is about to close, which would reset
    them. `most` is the length of the queue: a flood fills it again meanwhile.
    """
    accepted: list[socket.socket] = []
    try:
        for _ in range(most):
            accepted.append(listening.accept()[0])  # noqa: PERF401 - an error must lose none
    except OSError:
        pass  # nothing is left, or no descriptor is
    return accepted


def has_unread(transport: asyncio.BaseTransport) -> bool:
    """Whether bytes that the peer has sent, or its end, are not read yet."""
    if not hasattr(select, "poll"):
        return False
    sock = transport.get_extra_info("socket")
    if sock is None or sock.fileno() < 0:
        return False
    poller = select.poll()
    poller.register(sock.fileno(), select.POLLIN)
    return bool(poller.poll(0))
