"""Debian's Prosody and ejabberd, and pushhub, as BOSH servers of the domain localhost: processes of
ours on loopback, with all that they write in a temporary folder."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks.servers.bosh import Hub
from benchmarks.servers.ejabberd import Ejabberd
from benchmarks.servers.prosody import Prosody
from tests import outside
from tests.redis_servers import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.servers.bosh import Bosh

SERVERS: dict[str, Callable[[], Bosh]] = {
    "pushhub": Hub,
    "prosody": Prosody,
    "ejabberd": Ejabberd,
}


@contextmanager
def xmpp_server(name: str) -> Iterator[Bosh]:
    """One of them, for as long as the block runs."""
    if name != "pushhub":
        outside.require(name)
    server = SERVERS[name]()
    server.port = free_port()  # which nobody of the tests comes by before it listens
    with server:
        yield server
