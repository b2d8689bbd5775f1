"""nchan: nginx's module, in C. One worker; Last-Modified and ETag are the cursor of its polls."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from benchmarks.servers.server import KEY, PEERS, TOKEN, Server
from pushhub.bench.dialect import BROWSER, ORIGIN, bearer, post
from pushhub.bench.target import Target

_MODULES = Path("/usr/lib/nginx/modules")
_TAG = re.compile(rb"\r\netag: *([^\r]+)", re.IGNORECASE)
_TIME = re.compile(rb"\r\nlast-modified: *([^\r]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Long:
    """A cursor is the pair of a message's time, and its tag among those of the same second."""

    host: str
    wait: int = 55

    @property
    def start(self) -> bytes:
        return b""

    def poll(self, channel: str, cursor: bytes) -> bytes:
        folder = "short" if self.wait == 1 else "channels"
        time, _, tag = cursor.decode().partition("|")
        since = f"If-Modified-Since: {time}\r\nIf-None-Match: {tag}\r\n" if cursor else ""
        return (
            f"GET /{folder}/{channel}/events HTTP/1.1\r\n"
            f"Host: {self.host}\r\n{BROWSER.format(origin=ORIGIN)}{bearer(TOKEN)}{since}\r\n"
        ).encode()

    def publish(self, channel: str, payload: bytes) -> bytes:
        return post(f"/channels/{channel}/publish", self.host, bearer(KEY), payload)

    def cursor(self, head: bytes, body: bytes) -> bytes:
        time, tag = _TIME.search(head), _TAG.search(head)
        return time[1] + b"|" + tag[1] if time and tag else b""

    def page(self) -> bytes:
        return (
            f"GET /page HTTP/1.1\r\nHost: {self.host}\r\n{BROWSER.format(origin=ORIGIN)}\r\n"
        ).encode()


class Nchan(Server):
    """nginx with nchan."""

    name = "nchan"
    about = "nginx, one worker; the token is compared with a fixed text, which favours it"
    lacks = MappingProxyType({"poll-vs-longpoll": "one location of it either waits or does not"})

    def missing(self) -> str | None:
        if _nginx() is None or not (_MODULES / "ngx_nchan_module.so").exists():
            return "no nginx with nchan here; benchmarks/peers/install installs it"
        return None

    def version(self) -> str:
        nginx = subprocess.run([_nginx() or "nginx", "-v"], capture_output=True, text=True)
        query = ["dpkg-query", "-W", "-f", "${Version}", "libnginx-mod-nchan"]
        nchan = subprocess.run(query, capture_output=True, text=True) if _debian() else None
        version = nginx.stderr.rpartition("/")[2].strip()
        return f"nginx {version}, nchan {nchan.stdout if nchan else 'of unknown version'}"

    def launch(self) -> None:
        values = {
            "MODULES": str(_MODULES),
            "FOLDER": str(self.folder),
            "USER": "root" if os.geteuid() == 0 else "nobody",
            "PORT": str(self.port),
            "TOKEN": TOKEN,
            "KEY": KEY,
            "ORIGIN": ORIGIN,
        }
        text = (PEERS / "nchan" / "nginx.conf").read_text()
        for name, value in values.items():
            text = text.replace(f"@{name}@", value)
        (self.folder / "nginx.conf").write_text(text)
        self.spawn(
            *(str(_nginx()), "-p", str(self.folder), "-c", "nginx.conf"),
            *("-e", str(self.folder / "error.log")),
        )

    def target(self) -> Target:
        dialect = Long(f"127.0.0.1:{self.port}")
        return Target("127.0.0.1", self.port, dialect, processes=self.processes())


def _nginx() -> str | None:
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def _debian() -> bool:
    return shutil.which("dpkg-query") is not None
