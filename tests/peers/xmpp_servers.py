"""Debian's Prosody and ejabberd, and pushhub, as BOSH servers of the domain localhost: processes of
ours on loopback, with all that they write in a temporary folder."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks.servers.bosh import Hub
from benchmarks.servers.ejabberd import Ejabberd
from benchmarks.servers.prosody import Prosody
from benchmarks.servers.server import PEERS
from tests import outside
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from benchmarks.servers.bosh import Bosh

SERVERS: dict[str, Callable[[], Bosh]] = {
    "pushhub": Hub,
    "prosody": Prosody,
    "ejabberd": Ejabberd,
}


class PeopledProsody(Prosody):
    """Prosody with accounts, which log in by password, and with offline messages."""

    def __init__(self, names: Iterable[str], password: str) -> None:
        super().__init__()
        self._names = names
        self._password = password

    def launch(self) -> None:
        accounts = self.folder / "data" / "localhost" / "accounts"
        accounts.mkdir(parents=True)
        for name in self._names:
            (accounts / f"{name}.dat").write_text(
                f'return {{ ["password"] = "{self._password}" }};'
            )
        text = (PEERS / "prosody" / "prosody.cfg.lua").read_text()
        text = text.replace("@FOLDER@", str(self.folder)).replace("@PORT@", str(self.port))
        text = text.replace(', "offline" }', " }").replace('"bosh", ', '"bosh", "offline", ')
        text = text.replace('authentication = "anonymous"', 'authentication = "internal_plain"')
        assert "anonymous" not in text.partition("VirtualHost")[2]
        (self.folder / "prosody.cfg.lua").write_text(text)
        self.spawn("prosody", "-F", "--config", str(self.folder / "prosody.cfg.lua"))

    def begins(self, said: bytes) -> bool:
        return b"PLAIN" in said


@contextmanager
def xmpp_server(name: str) -> Iterator[Bosh]:
    """One of them, for as long as the block runs."""
    if name == "pushhub":
        server = SERVERS[name]()
        server.port = free_port()  # which nobody of the tests comes by before it listens
        with server:
            yield server
        return
    with started(SERVERS[name](), name) as server:
        yield server


@contextmanager
def started(server: Bosh, part: str) -> Iterator[Bosh]:
    """A server of an outside part, for as long as the block runs."""
    outside.require(part)
    server.port = free_port()
    with server:
        yield server
