"""A naive Starlette endpoint, on uvicorn with uvloop and httptools."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.metadata import version

from benchmarks.servers.server import KEY, PEERS, TOKEN, Server
from pushhub.bench.dialect import BROWSER, ORIGIN, bearer, post
from pushhub.bench.target import Target


@dataclass(frozen=True, slots=True)
class Plain:
    """A cursor is the number of the last event."""

    host: str
    wait: int = 55

    @property
    def start(self) -> bytes:
        return b"0"

    def poll(self, channel: str, cursor: bytes) -> bytes:
        return (
            f"GET /channels/{channel}/events?after={cursor.decode()}&wait={self.wait} HTTP/1.1\r\n"
            f"Host: {self.host}\r\n{BROWSER.format(origin=ORIGIN)}{bearer(TOKEN)}\r\n"
        ).encode()

    def publish(self, channel: str, payload: bytes) -> bytes:
        return post(f"/channels/{channel}/events", self.host, bearer(KEY), payload)

    def cursor(self, head: bytes, body: bytes) -> bytes:
        at = body.rfind(b'"cursor":"') + 10
        return body[at : body.index(b'"', at)] if at > 9 else b""

    def page(self) -> bytes:
        return (
            f"GET /page HTTP/1.1\r\nHost: {self.host}\r\n{BROWSER.format(origin=ORIGIN)}\r\n"
        ).encode()


class Naive(Server):
    """The endpoint."""

    name = "naive"
    about = "Starlette on uvicorn; the token is compared with a fixed text, which favours it"
    most_holds = 5000
    most_publishes = 5

    def version(self) -> str:
        return f"starlette {version('starlette')}, uvicorn {version('uvicorn')}"

    def launch(self) -> None:
        self.spawn(
            *(sys.executable, "-m", "uvicorn", "app:app", "--app-dir", str(PEERS / "naive")),
            *("--port", str(self.port), "--http", "httptools", "--loop", "uvloop"),
            *("--no-access-log", "--log-level", "warning", "--backlog", "4096"),
            *("--timeout-keep-alive", "75", "--timeout-graceful-shutdown", "1"),
            NAIVE_TOKEN=TOKEN,
            NAIVE_KEY=KEY,
            NAIVE_ORIGIN=ORIGIN,
        )

    def target(self) -> Target:
        dialect = Plain(f"127.0.0.1:{self.port}")
        return Target("127.0.0.1", self.port, dialect, processes=self.processes())
