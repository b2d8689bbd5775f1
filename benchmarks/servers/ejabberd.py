"""ejabberd, an XMPP server in Erlang, with its mod_bosh. Its node is one process, without a name,
so that no daemon for names is needed or left behind.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from benchmarks.servers.bosh import Bosh
from benchmarks.servers.server import PEERS

# Where Debian has Erlang's libraries, on whatever machine.
_LIBRARIES = Path("/usr/lib")


class Ejabberd(Bosh):
    """Debian's ejabberd."""

    name = "ejabberd"
    about = "mod_bosh, an anonymous domain, no archive"

    def missing(self) -> str | None:
        if shutil.which("ejabberdctl") and shutil.which("erl"):
            return None
        return "no ejabberd here; benchmarks/peers/install installs it"

    def version(self) -> str:
        said = subprocess.run(
            ["dpkg-query", "-W", "-f", "${Version}", "ejabberd"], capture_output=True, text=True
        )
        return f"ejabberd {said.stdout.partition('-')[0]}"

    def launch(self) -> None:
        text = (PEERS / "ejabberd" / "ejabberd.yml").read_text()
        (self.folder / "ejabberd.yml").write_text(text.replace("@PORT@", str(self.port)))
        self.spawn(
            # Debian's ejabberdctl gives the same limits.
            *("erl", "-noinput", "+K", "true", "+P", "250000", "-env", "ERL_MAX_PORTS", "32000"),
            *("-mnesia", "dir", f'"{self.folder / "mnesia"}"', "-s", "ejabberd"),
            EJABBERD_CONFIG_PATH=str(self.folder / "ejabberd.yml"),
            EJABBERD_LOG_PATH=str(self.folder / "ejabberd.log"),
            ERL_LIBS=":".join(map(str, {p.parent for p in _LIBRARIES.glob("*/ejabberd-*")})),
            HOME=str(self.folder),
        )
