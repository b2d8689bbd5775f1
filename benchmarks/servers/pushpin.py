"""Pushpin: a proxy that holds requests where its origin tells it to (GRIP). Its parts are condure,
zurl, a proxy and a handler.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from benchmarks.servers.naive import Plain
from benchmarks.servers.server import KEY, PEERS, TOKEN, Server, free_port
from pushhub.bench.dialect import BROWSER, ORIGIN, bearer
from pushhub.bench.target import Target

_INTERNAL = Path("/usr/lib/pushpin/internal.conf")
_PARTS = ("pushpin", "condure", "zurl")


@dataclass(frozen=True, slots=True)
class Held(Plain):
    """What our origin behind Pushpin understands."""

    def poll(self, channel: str, cursor: bytes) -> bytes:
        return (
            f"GET /channels/{channel}/events?since={cursor.decode()}&wait={self.wait} HTTP/1.1\r\n"
            f"Host: {self.host}\r\n{BROWSER.format(origin=ORIGIN)}{bearer(TOKEN)}\r\n"
        ).encode()


class Pushpin(Server):
    """Pushpin, and the origin behind it."""

    name = "pushpin"
    about = (
        "with zurl and an origin of ours that compares the token and answers with holds; "
        "the origin's CPU and memory are not counted"
    )
    lacks = MappingProxyType(
        {
            "publish": "it stores nothing, and acknowledges an event before it looks at it",
            "churn": "its shortest wait is five seconds",
        }
    )

    # When more than some hundred polls come at once it has no room to pass them on to zurl, and
    # answers 502 (ErrorUnavailable); clients come back a second later.
    most_holds = 1000
    most_publishes = 10

    def __init__(self) -> None:
        super().__init__()
        self.origin_port = free_port()
        self.control_port = free_port()

    def missing(self) -> str | None:
        absent = [part for part in _PARTS if shutil.which(part) is None]
        if absent or not _INTERNAL.exists():
            names = ", ".join(absent) or str(_INTERNAL)
            return f"no {names} here; benchmarks/peers/install installs it"
        return None

    def version(self) -> str:
        said = subprocess.run(["pushpin", "--version"], capture_output=True, text=True)
        return said.stdout.strip()

    def launch(self) -> None:
        values = {
            "FOLDER": str(self.folder),
            "PORT": str(self.port),
            "CONTROL": str(self.control_port),
        }
        text = (PEERS / "pushpin" / "pushpin.conf").read_text()
        for name, value in values.items():
            text = text.replace(f"@{name}@", value)
        (self.folder / "pushpin.conf").write_text(text)
        # zurl of our own, where Debian's configuration names its service's sockets.
        ours = re.sub(
            r"ipc:///var/run/zurl/zurl-", "ipc://{rundir}/{ipc_prefix}zurl-", _INTERNAL.read_text()
        )
        (self.folder / "internal.conf").write_text(ours)
        (self.folder / "routes").write_text(f"* 127.0.0.1:{self.origin_port}\n")
        self.spawn("pushpin", "--config", str(self.folder / "pushpin.conf"))
        self.spawn(
            *(sys.executable, str(PEERS / "pushpin" / "origin.py")),
            *(str(self.origin_port), str(self.control_port)),
            ORIGIN_TOKEN=TOKEN,
            ORIGIN_KEY=KEY,
            ORIGIN_ORIGIN=ORIGIN,
        )
        self.await_port(self.origin_port)
        self.await_port(self.control_port)

    def target(self) -> Target:
        dialect = Held(f"127.0.0.1:{self.port}")
        target = Target("127.0.0.1", self.port, dialect, processes=self.processes())
        return replace(target, publish_port=self.origin_port)
