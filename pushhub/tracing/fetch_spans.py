"""The spans of shared fetches."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from opentelemetry.trace import Link, SpanKind, Status, StatusCode

from pushhub.http.redact import redacted_path
from pushhub.tracing.context import parent_from, span_context, traceparent_of
from pushhub.tracing.request_spans import MAX_PATH, METHODS

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

# The links of one fetch. OpenTelemetry keeps 128 of a span; more than a few readers follow none.
MAX_LINKS = 16


class OpenFetch:
    """A fetch whose response has not ended."""

    __slots__ = ("_span", "traceparent")

    def __init__(self, span: Span) -> None:
        self._span = span
        self.traceparent = traceparent_of(span)

    def end(self, result: str, status: int | None) -> None:
        """The fetch has a result."""
        span = self._span
        span.set_attribute("pushhub.fetch.result", result)
        if status is not None:
            span.set_attribute("http.response.status_code", status)
        if result == "failed":
            span.set_attribute("error.type", "failed" if status is None else str(status))
            span.set_status(Status(StatusCode.ERROR))
        span.end()


class FetchSpans:
    """Begins the spans of fetches for which a request with a trace context waits."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def begin(self, method: str, url: str, waiters: list[str]) -> OpenFetch | None:
        """The span of a fetch: it continues the trace of the first of its waiters, and links to
        all of them. None if no waiter has a context.
        """
        parents = [
            parent
            for waiter in waiters[:MAX_LINKS]
            if span_context(parent := parent_from(waiter)).is_valid
        ]
        if not parents:
            return None
        parts = urlsplit(url)
        span = self._tracer.start_span(
            method if method in METHODS else "HTTP",
            parents[0],
            kind=SpanKind.CLIENT,
            attributes={
                "http.request.method": method if method in METHODS else "_OTHER",
                "server.address": parts.hostname or "",
                "server.port": parts.port or (443 if parts.scheme == "https" else 80),
                "url.path": redacted_path(parts.path)[:MAX_PATH],
                "pushhub.waiters": len(waiters),
            },
            links=[Link(span_context(parent)) for parent in parents],
        )
        return OpenFetch(span)
