"""Checks of this machine: the limit of open files, the address to listen on, the XML parser."""

from __future__ import annotations

import errno
import http.client
import json
import resource
import socket
from pyexpat import version_info
from typing import TYPE_CHECKING

from pushhub.doctor.finding import bad, ok, warn
from pushhub.xml import SAFE_EXPAT

if TYPE_CHECKING:
    from pushhub.doctor.finding import Finding
    from pushhub.settings import Settings

# Open files that are not connections of holds: the store, listeners, publishers, libraries.
SPARE_FILES = 500
# A hub on the same machine responds in milliseconds, a busy one within this time.
RESPONSE_SECONDS = 2.0


def files(settings: Settings) -> Finding:
    """Whether a process may open enough files for all holds."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = settings.max_holds + SPARE_FILES
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return ok("files", f"A process may hold {settings.max_holds:,} requests (max_holds).")
    return warn(
        "files",
        f"A held request is an open file, and a process may open {soft:,} (ulimit -n), fewer than "
        f"max_holds ({settings.max_holds:,}) and {SPARE_FILES} others. Set LimitNOFILE={needed} "
        f"for the service, or a smaller max_holds.",
    )


def xml_parser(version: tuple[int, int, int] = version_info) -> Finding:
    """Whether the machine's expat, which reads the XML of BOSH, is safe."""
    text = ".".join(map(str, version))
    if version >= SAFE_EXPAT:
        return ok("expat", f"The XML parser is expat {text}.")
    least = ".".join(map(str, SAFE_EXPAT))
    return bad(
        "expat",
        f"The XML parser is expat {text}, which has known faults of memory (CVE-2022-25235 and "
        f"others); update Python or libexpat to {least} or later, or do not serve XMPP.",
    )


def listening(settings: Settings) -> Finding:
    """Whether the address is free, or in use by a hub."""
    host, port = settings.host, settings.port
    if port == 0:
        return ok("listen", "The port will be any free port (port 0).")
    where = f"{host}:{port}"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return _listener(settings, where)
        why = (error.strerror or str(error)).rstrip(".")
        if error.errno == errno.EACCES:
            why += ", as for all ports below 1,024: take a higher one, and a proxy in front"
        elif error.errno == errno.EADDRNOTAVAIL:
            why += ": it is not an address of this machine; see `host`"
        return bad("listen", f"{where} cannot be used: {why}.")
    return ok("listen", f"{where} is free.")


def _listener(settings: Settings, where: str) -> Finding:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    connection = http.client.HTTPConnection(host, settings.port, timeout=RESPONSE_SECONDS)
    try:
        connection.request("GET", "/readyz")
        status = json.loads(connection.getresponse().read(8192))
        ready, leaving, store = status["ready"], status["leaving"], status["store"]
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return bad(
            "listen",
            f"Another program, which is not pushhub, listens at {where}; choose another `port`, or "
            "stop that program.",
        )
    finally:
        connection.close()
    if ready:
        return ok("listen", f"A pushhub runs at {where}, and is ready.")
    if leaving:
        return warn("listen", f"A pushhub runs at {where}, and is shutting down.")
    failing = [status[what].get("detail", "") for what in ("reads", "writes") if status.get(what)]
    what = next(filter(None, failing), "it gives no reason").rstrip(".")
    if not store:
        what = "its store is unavailable"
    return bad("listen", f"A pushhub runs at {where} and is not ready: {what}.")
