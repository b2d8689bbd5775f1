"""Trace contexts between headers, events and OpenTelemetry (W3C Trace Context, level 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.context import Context
from opentelemetry.trace import format_span_id, format_trace_id, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.trace import Span, SpanContext

_PROPAGATOR = TraceContextTextMapPropagator()


def parent_of(headers: Mapping[str, str]) -> Context:
    """The context in the headers of a request; an empty one if they have none that is valid."""
    return _PROPAGATOR.extract(headers, Context())


def parent_from(traceparent: str) -> Context:
    """The context of an event or of a request that waits."""
    return parent_of({"traceparent": traceparent})


def span_context(parent: Context) -> SpanContext:
    """The span that a context names; an invalid one if it names none."""
    return get_current_span(parent).get_span_context()


def traceparent_of(span: Span) -> str:
    """The context of a span as the header and the events have it."""
    its = span.get_span_context()
    trace, own = format_trace_id(its.trace_id), format_span_id(its.span_id)
    return f"00-{trace}-{own}-{its.trace_flags:02x}"
