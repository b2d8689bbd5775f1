"""The header of W3C Trace Context, as pushhub passes it on. Only `tracing/` reads its value."""

from __future__ import annotations

TRACEPARENT = "traceparent"
# The headers of a context.
TRACE_HEADERS = (TRACEPARENT, "tracestate")

_NAME = TRACEPARENT.encode()


def in_context(
    traceparent: str, pairs: tuple[tuple[bytes, bytes], ...]
) -> tuple[tuple[bytes, bytes], ...]:
    """The headers of a request with another context in place of its own."""
    kept = (pair for pair in pairs if pair[0].lower() != _NAME)
    return (*kept, (_NAME, traceparent.encode()))
