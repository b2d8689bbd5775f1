"""An origin that does as the query string says, and keeps a log of what it was asked.

    GET /any?status=201&reason=Made&h=Grip-Hold:%20response&body=text&size=10&delay=0.5

`h` repeats. Parameters that begin with `again.` hold in place of all others from the second request
of the same target on: a hold that is followed by something else. `/__log` is the log as JSON.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit


@dataclass(frozen=True, slots=True)
class Hit:
    """One request that the origin got. Header names are in lower case."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    at: float

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]


@dataclass
class Origin:
    """A running origin."""

    port: int
    hits: list[Hit] = field(default_factory=list)
    news: threading.Condition = field(default_factory=threading.Condition)

    def at(self, path: str) -> list[Hit]:
        """The requests of a path."""
        with self.news:
            return [hit for hit in self.hits if hit.path == path]

    def wait(self, path: str, count: int = 1, seconds: float = 10.0) -> list[Hit]:
        """Wait for so many requests of a path."""
        with self.news:
            enough = self.news.wait_for(
                lambda: sum(hit.path == path for hit in self.hits) >= count, seconds
            )
        found = self.at(path)
        assert enough, f"{len(found)} requests of {path}, not {count}"
        return found


def script(path: str, *headers: str, again: "dict[str, Any] | None" = None, **does: object) -> str:
    """The target of a request: what the origin is to do, and what it does from the second time
    on.
    """
    fields = [(name, str(value)) for name, value in does.items()]
    fields += [("h", header) for header in headers]
    for name, value in (again or {}).items():
        values = value if isinstance(value, list) else [value]
        fields += [(f"again.{name}", str(one)) for one in values]
    return f"{path}?{urlencode(fields)}"


@contextmanager
def scripted_origin() -> Iterator[Origin]:
    """An origin on a port of its own, for as long as the block runs."""
    origin = Origin(0)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer()

        do_POST = do_HEAD = do_PUT = do_OPTIONS = do_GET

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            path = urlsplit(self.path).path
            if path == "/__log":
                self._write(200, "OK", [], json.dumps([hit.target for hit in origin.hits]).encode())
                return
            with origin.news:
                before = sum(hit.target == self.path for hit in origin.hits)
                headers = tuple((name.lower(), value) for name, value in self.headers.items())
                origin.hits.append(Hit(self.command, self.path, headers, body, time.monotonic()))
                origin.news.notify_all()
            fields = parse_qsl(urlsplit(self.path).query, keep_blank_values=True)
            later = [(name[6:], value) for name, value in fields if name.startswith("again.")]
            if before and later:
                fields = later
            does = dict(fields)
            time.sleep(float(does.get("delay", 0)))
            lines = [value for name, value in fields if name == "h"]
            content = does.get("body", "").encode() or b"x" * int(does.get("size", 0))
            self._write(int(does.get("status", 200)), does.get("reason"), lines, content)

        def _write(self, status: int, reason: str | None, lines: list[str], body: bytes) -> None:
            self.send_response(status, reason)
            for line in lines:
                name, _, value = line.partition(":")
                self.send_header(name, value.strip())
            if status not in (204, 304):
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD" and status not in (204, 304):
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 256

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A proxy that hangs up is no news."""

    server = Server(("127.0.0.1", 0), Handler)
    origin.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield origin
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
