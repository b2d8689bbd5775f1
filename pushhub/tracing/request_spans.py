"""The spans of requests with a trace context."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.trace import SpanKind, Status, StatusCode

from pushhub.tracing.context import parent_of, span_context, traceparent_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry.trace import Span, Tracer
    from opentelemetry.util.types import AttributeValue

    from pushhub.tracing.exporter import BoundedProcessor

# Spans of requests that have not ended, about 2 KiB each: as many as a trace of the console
# follows. Clients choose whether their requests have a span, so their number needs a limit.
MAX_OPEN = 10_000
# The longest path in an attribute. Spans wait in the queue with it.
MAX_PATH = 1024

# The methods of which a span may have its name (RFC 9110 §9, RFC 5789): clients could send any.
METHODS = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}
)
CLIENT_LEFT = 499


class OpenSpan:
    """The span of a request whose response has not ended."""

    __slots__ = ("_owner", "_span", "traceparent")

    def __init__(self, owner: RequestSpans, span: Span) -> None:
        self._owner = owner
        self._span = span
        self.traceparent = traceparent_of(span)

    def end(self, status: int, path: str, client: str) -> None:
        self.discard()
        span = self._span
        if span.is_recording():
            span.set_attribute("url.path", path[:MAX_PATH])
            if client:
                span.set_attribute("client.address", client)
            if status == CLIENT_LEFT:
                span.set_attribute("error.type", "disconnected")
            else:
                span.set_attribute("http.response.status_code", status)
            if status >= 500:
                span.set_attribute("error.type", str(status))
                span.set_status(Status(StatusCode.ERROR))
        span.end()

    def discard(self) -> None:
        self._owner.open -= 1


class RequestSpans:
    """Begins the spans of requests.

    Args:
        route: the route of a path, such as `/v1/channels/{channel}`; empty if it has none.
    """

    def __init__(
        self, tracer: Tracer, processor: BoundedProcessor, route: Callable[[str], str]
    ) -> None:
        self._tracer = tracer
        self._processor = processor
        self._route = route
        self.open = 0

    @property
    def results(self) -> Mapping[str, int]:
        return self._processor.results

    def begin(
        self, method: str, path: str, headers: Mapping[str, str], *, secure: bool
    ) -> OpenSpan | None:
        parent = parent_of(headers)
        if not span_context(parent).is_valid:
            return None
        if self.open >= MAX_OPEN:
            self._processor.dropped += 1
            return None
        known = method if method in METHODS else "_OTHER"
        attributes: dict[str, AttributeValue] = {
            "http.request.method": known,
            "url.scheme": "https" if secure else "http",
        }
        if route := self._route(path):
            attributes["http.route"] = route
        name = known if known in METHODS else "HTTP"
        span = self._tracer.start_span(
            f"{name} {route}" if route else name,
            parent,
            kind=SpanKind.SERVER,
            attributes=attributes,
        )
        self.open += 1
        return OpenSpan(self, span)
