"""Servers that speak BOSH for the domain localhost, where anybody may log in without an account."""

from __future__ import annotations

import http.client
import sys
import time
from typing import TYPE_CHECKING

from benchmarks.servers.pushhub import Front
from benchmarks.servers.server import Server

if TYPE_CHECKING:
    from pushhub.bench.target import Target

_READY_SECONDS = 30.0
_CREATION = (
    b"<body xmlns='http://jabber.org/protocol/httpbind' xmlns:xmpp='urn:xmpp:xbosh' rid='1'"
    b" to='localhost' ver='1.6' wait='1' hold='1' xmpp:version='1.0'/>"
)


class Bosh(Server):
    """Subclasses say how it is started; its sessions are at `/http-bind`."""

    def target(self) -> Target:
        raise NotImplementedError("it knows no channels")

    def await_port(self, port: int) -> None:
        """Wait until it not only listens, but begins sessions."""
        super().await_port(port)
        end = time.monotonic() + _READY_SECONDS
        while not self.begins(self._begin()):
            if time.monotonic() > end:
                raise RuntimeError(f"{self.name} begins no session:\n{self.said()}")
            time.sleep(0.1)

    def begins(self, said: bytes) -> bool:
        """Whether what it says to a new session offers the login that is wanted."""
        return b"ANONYMOUS" in said

    def _begin(self) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("POST", "/http-bind", _CREATION, {"content-type": "text/xml"})
            return connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            return b""
        finally:
            connection.close()


class Hub(Bosh):
    """`pushhub serve`, with an anonymous domain."""

    name = "pushhub"
    about = "on a store in memory"

    def __init__(self, store: str = "memory") -> None:
        super().__init__()
        self._front = Front(store)

    def version(self) -> str:
        return self._front.version()

    def launch(self) -> None:
        environ = self._front.environ() | {
            "PUSHHUB_XMPP_DOMAINS": '["localhost"]',
            "PUSHHUB_XMPP_ANONYMOUS": "true",
            # All clients have one address here.
            "PUSHHUB_BOSH_RATE": "100000",
        }
        command = ("-m", "pushhub", "serve", "--port", str(self.port))
        self.spawn(sys.executable, *command, **environ)
