"""The way of a span to the collector: a bounded queue, and a thread that exports from it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import structlog
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan

log = structlog.get_logger(__name__)

# OpenTelemetry's default of OTEL_BSP_MAX_QUEUE_SIZE. A span takes 1 to 3 KiB.
QUEUED_SPANS = 2048


def queue_size() -> int:
    """The spans that may wait for their export, by OpenTelemetry's own variable."""
    text = os.environ.get("OTEL_BSP_MAX_QUEUE_SIZE", "").strip()
    return int(text) if text.isascii() and text.isdigit() and int(text) > 0 else QUEUED_SPANS


class CountingExporter(SpanExporter):
    """Counts the spans that another exporter has sent, or failed to send. It runs in the thread of
    the queue, and only that thread writes its counts.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self.exported = self.failed = 0
        # The log names the first of a row of failures.
        self._is_failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            result = self._exporter.export(spans)
        except Exception as error:
            if not self._is_failing:
                log.warning("tracing.export_failed", error=type(error).__name__, spans=len(spans))
            result = SpanExportResult.FAILURE
        self._is_failing = result is not SpanExportResult.SUCCESS
        if result is SpanExportResult.SUCCESS:
            self.exported += len(spans)
        else:
            self.failed += len(spans)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


class BoundedProcessor(SpanProcessor):
    """Gives ended spans to the queue of OpenTelemetry's SDK, and drops and counts those for which
    it has no room. The SDK would drop the oldest ones, and not say how many.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        self._counting = CountingExporter(exporter)
        self._limit = queue_size()
        self._batches = BatchSpanProcessor(self._counting)
        self._accepted = 0
        self.dropped = 0

    @property
    def results(self) -> dict[str, int]:
        """The ended spans by their result; those in the queue have none yet."""
        counting = self._counting
        return {
            "exported": counting.exported,
            "failed": counting.failed,
            "dropped": self.dropped,
        }

    def on_end(self, span: ReadableSpan) -> None:
        counting = self._counting
        if self._accepted - counting.exported - counting.failed >= self._limit:
            self.dropped += 1
            return
        self._accepted += 1
        self._batches.on_end(span)

    def shutdown(self) -> None:
        self._batches.shutdown()  # type: ignore[no-untyped-call]

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._batches.force_flush(timeout_millis)
