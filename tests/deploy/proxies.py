"""The proxies of `deploy/proxies`, started with the committed files.

A test changes only what belongs to a machine: ports, addresses of hubs, certificates, users and
folders. `Proxy.changes` has every change, and each must be found in the file.
"""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import re
import signal
import ssl
import subprocess
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPSConnection
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests import outside, programs
from tests.ports import free_port
from tests.waiting import block_until
from tests.wire import Client

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FOLDER = outside.ROOT / "deploy" / "proxies"


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, its committed file, and the changes that a test makes to the file."""

    name: str
    files: tuple[str, ...]
    """The first is the one that the program is given."""
    part: str
    """The outside part that has the program."""
    command: tuple[str, ...]
    """The arguments after the program; `{file}` is the changed file."""
    changes: Mapping[str, str]
    program: str = ""
    """The path of the program within the part's folder, if the part is a folder."""
    short: Mapping[str, str] | None = None
    """Further changes: idle connections to the hubs are closed after half a second."""

    def texts(self, values: Mapping[str, object], *, short: bool = False) -> dict[str, str]:
        """The files with their changes, by name."""
        changes = {**self.changes, **((short and self.short) or {})}
        texts = {Path(file).name: (FOLDER / file).read_text() for file in self.files}
        for old, new in changes.items():
            assert any(old in text for text in texts.values()), f"{self.files} have no {old!r}"
            for name, value in values.items():
                new = new.replace(f"<{name}>", str(value))
            texts = {file: text.replace(old, new) for file, text in texts.items()}
        return texts


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
    "server_tokens off;": "server_tokens off; <nginx_folders>",
}
PROXIES = {
    proxy.name: proxy
    for proxy in (
        Proxy(
            "nginx",
            ("nginx.conf",),
            "nginx",
            ("-c", "{file}", "-e", "stderr", "-g", "daemon off;"),
            _NGINX,
            short={"keepalive_timeout 60s;": "keepalive_timeout 500ms;"},
        ),
        Proxy(
            "haproxy",
            ("haproxy.cfg",),
            "haproxy",
            ("-W", "-db", "-f", "{file}"),
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
            ("Caddyfile",),
            "proxies",
            ("run", "--adapter", "caddyfile", "--config", "{file}"),
            {
                **_HUBS,
                "\tgrace_period 630s": "\tgrace_period 630s\n\tadmin 127.0.0.1:<admin>"
                "\n\tpersist_config off\n\tauto_https disable_redirects",
                "push.example.org {": "https://:<port> {\n\tbind 127.0.0.1"
                "\n\ttls <folder>/cert.pem <folder>/key.pem",
            },
            program="bin/caddy",
            short={"keepalive 60s": "keepalive 500ms"},
        ),
        Proxy(
            "traefik",
            ("traefik.yml", "traefik-routes.yml"),
            "proxies",
            ("--configFile={file}",),
            {
                **_HUBS,
                "/etc/traefik/routes.yml": "<folder>/traefik-routes.yml",
                '":80"': '"127.0.0.1:<redirect>"',
                '":443"': '"127.0.0.1:<port>"',
                "/etc/ssl/certs/pushhub.pem": "<folder>/cert.pem",
                "/etc/ssl/private/pushhub.key": "<folder>/key.pem",
            },
            program="bin/traefik",
            short={"idleConnTimeout: 60s": "idleConnTimeout: 500ms"},
        ),
        Proxy(
            "envoy",
            ("envoy.yaml",),
            "proxies",
            # The base id tells hot restarts of one Envoy from others; ports are unique.
            (
                *("-c", "{file}", "--concurrency", "1", "-l", "warn", "--base-id", "{admin}"),
                *("--drain-time-s", "630", "--parent-shutdown-time-s", "640"),
            ),
            {
                "port_value: 8080": "port_value: <hub1>",
                "port_value: 8081": "port_value: <hub2>",
                "address: 127.0.0.1, port_value: 9901": "address: 127.0.0.1, port_value: <admin>",
                "address: 0.0.0.0, port_value: 80}": "address: 127.0.0.1, port_value: <redirect>}",
                "address: 0.0.0.0, port_value: 443": "address: 127.0.0.1, port_value: <port>",
                "/etc/ssl/certs/pushhub.pem": "<folder>/cert.pem",
                "/etc/ssl/private/pushhub.key": "<folder>/key.pem",
            },
            program="bin/envoy",
            short={"idle_timeout: 60s": "idle_timeout: 0.5s"},
        ),
    )
}


class _TlsClient(Client):
    async def leave(self) -> None:
        """Leave without the goodbye of TLS, which would wait for that of the proxy."""
        self.writer.transport.abort()


# Those that every run of the tests starts.
NAMES = ["nginx", "haproxy", "caddy", "traefik", "envoy"]


@dataclass(slots=True)
class RunningProxy:
    """A proxy that runs, and its log."""

    name: str
    port: int
    redirect: int
    """The port of plain HTTP."""
    log: Path
    tls: ssl.SSLContext
    process: subprocess.Popen[bytes]
    command: list[str]
    folder: Path
    successors: ExitStack
    """The processes that a reload has started, if there are any."""

    def serves(self, page: str) -> bool:
        """Whether a hub responds through it with this page of its own."""
        connection = HTTPSConnection("localhost", self.port, timeout=5, context=self.tls)
        try:
            connection.request("GET", page)
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def reload(self) -> None:
        """Let it read its files again, as its administrator does."""
        match self.name:
            case "nginx":
                self.process.send_signal(signal.SIGHUP)
            case "haproxy":
                self.process.send_signal(signal.SIGUSR2)
            case "caddy":
                file = self.folder / "Caddyfile"
                text = file.read_text()
                file.write_text(text.replace("try_duration 5s", "try_duration 6s"))
                (admin,) = re.findall(r"admin (\S+)", text)
                command = [self.command[0], "reload", *self.command[2:], "--address", admin]
                subprocess.run(command, check=True, capture_output=True, timeout=60)
            case "traefik":
                file = self.folder / "traefik-routes.yml"
                new = file.with_suffix(".new")
                new.write_text(file.read_text().replace("attempts: 8", "attempts: 9"))
                new.replace(file)
            case "envoy":
                second = [*self.command, "--restart-epoch", "1"]
                log = self.folder / "second.log"
                self.successors.enter_context(programs.run([second], [], log))
            case name:
                raise ValueError(name)

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
    proxy: Proxy,
    folder: Path,
    tls: ssl.SSLContext,
    hubs: tuple[int, int],
    *,
    short: bool = False,
    prefix: str = "",
) -> Iterator[RunningProxy]:
    """A proxy in front of two hubs, whose own pages are under `prefix`. The folder has the
    certificate.
    """
    program = outside.require(proxy.part)
    if proxy.program:
        program = str(Path(program) / proxy.program)
    port, redirect, own = free_port(), free_port(), folder / f"{proxy.name}-{hubs[0]}-{short}"
    own.mkdir()
    for name in ("cert.pem", "key.pem", "both.pem"):
        (own / name).write_bytes((folder / name).read_bytes())
    values = {
        "port": port,
        "redirect": redirect,
        "admin": free_port(),
        "hub1": hubs[0],
        "hub2": hubs[1],
        "folder": own,
        "nginx_user": programs.nginx_user(),
        "nginx_folders": programs.nginx_folders(own),
    }
    texts = proxy.texts(values, short=short)
    for name, text in texts.items():
        (own / name).write_text(text)
    file, log = own / next(iter(texts)), own / "log"
    command = [program, *(argument.format(file=file, **values) for argument in proxy.command)]
    own_data = {"HOME": str(own), "XDG_DATA_HOME": str(own)}
    with ExitStack() as stack, programs.run([command], [port], log, own_data) as (process,):
        running = RunningProxy(proxy.name, port, redirect, log, tls, process, command, own, stack)
        # Traefik listens before it has read its routes.
        block_until(lambda: running.serves(f"{prefix}/livez"), programs.START_SECONDS)
        yield running
        assert process.poll() is None, log.read_text()


def http3_client(port: int, path: str, count: int, ping: str = "") -> subprocess.Popen[str]:
    """A process that sends GETs on one HTTP/3 connection, and prints what http3.py says."""
    python = Path(outside.require("proxies")) / "bin" / "python"
    command = [str(python), str(Path(__file__).parent / "http3.py"), str(port), path, str(count)]
    return subprocess.Popen(command + [ping][: bool(ping)], stdout=subprocess.PIPE, text=True)


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
