"""A collector of traces: OTLP over HTTP, with the protocol's own package."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.waiting import NEWS_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

KINDS = {1: "internal", 2: "server", 3: "client", 4: "producer", 5: "consumer"}


@dataclass(frozen=True, slots=True)
class SeenSpan:
    """A span as the collector received it; ids in hexadecimal."""

    name: str
    kind: str
    trace: str
    id: str
    parent: str
    links: tuple[tuple[str, str], ...]
    attributes: dict[str, Any]
    resource: dict[str, Any]
    failed: bool
    seconds: float

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace}-{self.id}-01"

    @property
    def place(self) -> tuple[str, str]:
        return self.trace, self.id


class Collector:
    """What has arrived. `status` is the response to each export."""

    def __init__(self) -> None:
        self.spans: list[SeenSpan] = []
        self.exports = 0
        self.status = 200
        self.news = threading.Condition()
        self.open = threading.Event()
        self.open.set()
        self.url = ""

    def wait(self, count: int = 1, **wanted: str) -> list[SeenSpan]:
        """The spans with this name, kind or trace, once there are so many."""

        def found() -> list[SeenSpan]:
            return [
                span
                for span in self.spans
                if all(getattr(span, name) == value for name, value in wanted.items())
            ]

        with self.news:
            self.news.wait_for(lambda: len(found()) >= count, NEWS_SECONDS)
            assert len(found()) >= count, f"no {count} spans {wanted}: {self.spans}"
            return found()

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        with self.news:
            self.exports += 1
            if self.status == 200:
                for resource in request.resource_spans:
                    about = _plain(resource.resource.attributes)
                    for scope in resource.scope_spans:
                        self.spans += [_seen(span, about) for span in scope.spans]
            self.news.notify_all()


def _seen(span: Any, resource: dict[str, Any]) -> SeenSpan:
    return SeenSpan(
        span.name,
        KINDS[span.kind],
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        _plain(span.attributes),
        resource,
        span.status.code == 2,
        (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
    )


def _plain(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector for as long as the block runs."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            collector.open.wait()
            collector.take(body)
            self.send_response(collector.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        collector.open.set()
        server.shutdown()
        server.server_close()
        thread.join(NEWS_SECONDS)
