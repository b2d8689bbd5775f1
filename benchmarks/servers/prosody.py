"""Prosody, an XMPP server in Lua, with its mod_bosh. It is one process."""

from __future__ import annotations

import re
import shutil
import subprocess

from benchmarks.servers.bosh import Bosh
from benchmarks.servers.server import PEERS


class Prosody(Bosh):
    """Debian's prosody."""

    name = "prosody"
    about = "mod_bosh, an anonymous domain, no archive"

    def missing(self) -> str | None:
        if shutil.which("prosody"):
            return None
        return "no prosody here; benchmarks/peers/install installs it"

    def version(self) -> str:
        said = subprocess.run(
            ["dpkg-query", "-W", "-f", "${Version}", "prosody"], capture_output=True, text=True
        )
        return f"prosody {re.sub('-.*', '', said.stdout)}"

    def launch(self) -> None:
        (self.folder / "data").mkdir()
        text = (PEERS / "prosody" / "prosody.cfg.lua").read_text()
        text = text.replace("@FOLDER@", str(self.folder)).replace("@PORT@", str(self.port))
        (self.folder / "prosody.cfg.lua").write_text(text)
        self.spawn("prosody", "-F", "--config", str(self.folder / "prosody.cfg.lua"))
