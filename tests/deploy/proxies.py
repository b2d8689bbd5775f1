"""The proxies of `deploy/proxies`, started with the committed files.

A test changes only what belongs to a machine: ports, addresses of hubs, certificates, users and
folders. `Proxy.changes` has every change, and each must be found in the file.
"""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import os
import socket
import ssl
import subprocess
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests import outside
from tests.ports import free_port
from tests.wire import Client

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FOLDER = outside.ROOT / "deploy" / "proxies"
START_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, its committed file, and the changes that a test makes to the file."""

    name: str
    file: str
    part: str
    """The outside part that has the program."""
    command: tuple[str, ...]
    """The arguments after the program; `{file}` is the changed file."""
    changes: Mapping[str, str]
    program: str = ""
    """The path of the program within the part's folder, if the part is a folder."""
    short: Mapping[str, str] | None = None
    """Further changes: idle connections to the hubs are closed after half a second."""

    def text(self, values: Mapping[str, object], *, short: bool = False) -> str:
        """The file with its changes."""
        text = (FOLDER / self.file).read_text()
        for old, new in {**self.changes, **((short and self.short) or {})}.items():
            assert old in text, f"{self.file} has no {old!r}"
            for name, value in values.items():
                new = new.replace(f"<{name}>", str(value))
            text = text.replace(old, new)
        return text


_HUBS = {"127.0.0.1:8080": "127.0.0.1:<hub1>", "127.0.0.1:8081": "127.0.0.1:<hub2>"}
_NGINX = {
    **_HUBS,
    "user www-data;": "<nginx_user>",
    "/run/nginx.pid": "<folder>/nginx.pid",
    "/var/log/nginx/": "<folder>/nginx-",
    "worker_processes auto;": "worker_processes 1;",
    "listen 80;": "listen 127.0.0.1:<redirect>;",
    "listen 443 ": "listen 127.0.0.1:<port> ",
    "/etc/ssl/certs/pushhub.pem": "<folder>/cert.pem",
    "/etc/ssl/private/pushhub.key": "<folder>/key.pem",
    # The compiled-in folders belong to root.
    "server_tokens off;": "server_tokens off; client_body_temp_path <folder>/body;"
    " proxy_temp_path <folder>/proxy; fastcgi_temp_path <folder>/f;"
    " uwsgi_temp_path <folder>/u; scgi_temp_path <folder>/s;",
}
PROXIES = {
    proxy.name: proxy
    for proxy in (
        Proxy(
            "nginx",
            "nginx.conf",
            "nginx",
            ("-c", "{file}", "-e", "stderr", "-g", "daemon off;"),
            _NGINX,
            short={"keepalive_timeout 60s;": "keepalive_timeout 500ms;"},
        ),
        Proxy(
            "haproxy",
            "haproxy.cfg",
            "haproxy",
            ("-db", "-f", "{file}"),
            {
                **_HUBS,
                # The limit of descriptors follows from it, and a test may not raise its own.
                "maxconn 100000": "maxconn 4000",
                "    user haproxy\n    group haproxy\n": "",
                "bind :80\n": "bind 127.0.0.1:<redirect>\n",
                "bind :443 ": "bind 127.0.0.1:<port> ",
                "/etc/haproxy/certs/pushhub.pem": "<folder>/both.pem",
            },
            short={},
        ),
        Proxy(
            "caddy",
            "Caddyfile",
            "caddy",
            ("run", "--adapter", "caddyfile", "--config", "{file}"),
            {
                **_HUBS,
                "\tgrace_period 90s": "\tgrace_period 1s\n\tadmin off\n\tpersist_config off"
                "\n\tauto_https disable_redirects",
                "push.example.org {": "https://:<port> {\n\tbind 127.0.0.1"
                "\n\ttls <folder>/cert.pem <folder>/key.pem",
            },
            program="bin/caddy",
            short={"keepalive 60s": "keepalive 500ms"},
        ),
    )
}


class _TlsClient(Client):
    async def leave(self) -> None:
        """Leave without the goodbye of TLS, which would wait for that of the proxy."""
        self.writer.transport.abort()


# Those that every run of the tests starts.
NAMES = ["nginx", "haproxy", "caddy"]


@dataclass(slots=True)
class RunningProxy:
    """A proxy that runs, and its log."""

    name: str
    port: int
    log: Path
    tls: ssl.SSLContext
    pid: int

    async def connect(self, address: str = "127.0.0.1") -> Client:
        """An HTTP/1.1 connection over TLS, from an address of loopback."""
        return _TlsClient(
            *await asyncio.open_connection(
                "127.0.0.1",
                self.port,
                ssl=self.tls,
                server_hostname="localhost",
                local_addr=(address, 0),
            )
        )


class Certificate:
    """A certificate for localhost in a folder, and a client's context that trusts it."""

    def __init__(self, folder: Path) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
        day = datetime.timedelta(days=1)
        now = datetime.datetime.now(datetime.UTC)
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - day)
            .not_valid_after(now + day)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        cert = made.public_bytes(serialization.Encoding.PEM)
        secret = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        (folder / "cert.pem").write_bytes(cert)
        (folder / "key.pem").write_bytes(secret)
        (folder / "both.pem").write_bytes(cert + secret)
        self.tls = ssl.create_default_context(cadata=cert.decode())


@contextmanager
def run_proxy(
    proxy: Proxy, folder: Path, tls: ssl.SSLContext, hubs: tuple[int, int], *, short: bool = False
) -> Iterator[RunningProxy]:
    """A proxy in front of two hubs. The folder has the certificate."""
    program = outside.require(proxy.part)
    if proxy.program:
        program = str(Path(program) / proxy.program)
    port, own = free_port(), folder / f"{proxy.name}-{hubs[0]}-{short}"
    own.mkdir()
    for name in ("cert.pem", "key.pem", "both.pem"):
        (own / name).write_bytes((folder / name).read_bytes())
    values = {
        "port": port,
        "redirect": free_port(),
        "hub1": hubs[0],
        "hub2": hubs[1],
        "folder": own,
        # Workers of another user could not write into a folder of the tests.
        "nginx_user": "user root;" if os.geteuid() == 0 else "",
    }
    file, log = own / Path(proxy.file).name, own / "log"
    file.write_text(proxy.text(values, short=short))
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [program, *(argument.format(file=file) for argument in proxy.command)],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            env=os.environ | {"HOME": str(own), "XDG_DATA_HOME": str(own)},
        )
    try:
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < end, log.read_text()
                time.sleep(0.02)
        yield RunningProxy(proxy.name, port, log, tls, process.pid)
        assert process.poll() is None, log.read_text()
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def run_proxies(
    proxies: list[Proxy], folder: Path, hubs: tuple[int, int], *, short: bool = False
) -> Iterator[dict[str, RunningProxy]]:
    """Proxies of several kinds in front of the same hubs."""
    tls = Certificate(folder).tls
    with ExitStack() as stack:
        yield {
            proxy.name: stack.enter_context(run_proxy(proxy, folder, tls, hubs, short=short))
            for proxy in proxies
        }
