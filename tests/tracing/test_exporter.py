"""Spans on their way to a collector that is slow, or refuses them, or is not there."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from pydantic import ValidationError

from pushhub.settings import Settings
from pushhub.tracing import request_spans
from pushhub.tracing.exporter import QUEUED_SPANS, BoundedProcessor, queue_size
from pushhub.tracing.request_spans import RequestSpans
from tests.ports import free_port
from tests.serving import fresh, serve
from tests.tracing.collector import Collector, collecting
from tests.tracing.test_requests import context
from tests.waiting import block_until

if TYPE_CHECKING:
    from collections.abc import Iterator

QUEUE = 8


@pytest.fixture
def slow() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture
def queue(slow: Collector, monkeypatch: pytest.MonkeyPatch) -> Iterator[BoundedProcessor]:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", str(QUEUE))
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "5")
    processor = BoundedProcessor(OTLPSpanExporter(endpoint=slow.url + "/v1/traces"))
    yield processor
    slow.open.set()
    processor.shutdown()


def end_spans(processor: BoundedProcessor, count: int) -> None:
    provider = TracerProvider(sampler=ALWAYS_ON, shutdown_on_exit=False)
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("test")
    for number in range(count):
        tracer.start_span(str(number)).end()


def test_a_full_queue_drops_and_counts(slow: Collector, queue: BoundedProcessor) -> None:
    slow.open.clear()
    end_spans(queue, 3 * QUEUE)
    assert queue.results["dropped"] == 2 * QUEUE
    slow.open.set()
    block_until(lambda: queue.results["exported"] == QUEUE)
    # The oldest ones were kept, and there is room again.
    assert sorted(int(span.name) for span in slow.spans) == list(range(QUEUE))
    end_spans(queue, 1)
    block_until(lambda: queue.results["exported"] == QUEUE + 1)
    assert queue.results == {"exported": QUEUE + 1, "failed": 0, "dropped": 2 * QUEUE}


def test_refused_spans_are_counted(slow: Collector, queue: BoundedProcessor) -> None:
    slow.status = 400
    end_spans(queue, 3)
    block_until(lambda: queue.results["failed"] == 3)
    assert queue.results["exported"] == 0


@pytest.mark.parametrize("text", ["", "0", "-1", "many", "²"])
def test_a_size_that_is_none_is_the_usual_one(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", text)
    assert queue_size() == QUEUED_SPANS


def test_open_spans_are_bounded(queue: BoundedProcessor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_spans, "MAX_OPEN", 2)
    provider = TracerProvider(sampler=ALWAYS_ON, shutdown_on_exit=False)
    spans = RequestSpans(provider.get_tracer("test"), queue, lambda path: "")
    headers = {"traceparent": context()[2]}
    begun = [spans.begin("GET", "/", headers, secure=False) for _ in range(3)]
    assert [span is not None for span in begun] == [True, True, False]
    assert queue.results["dropped"] == 1
    for span in begun[:2]:
        assert span is not None
        span.end(200, "/", "")
    assert spans.open == 0


async def test_a_hub_serves_without_its_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    with serve(tracing=True) as server:
        await server.publish(fresh(), 1)
        begun = time.monotonic()
        server.stop()
        # `stop` fails if the log has a traceback; a supervisor waits longer than this.
        assert time.monotonic() - begun < 14


# Without the setting

UNTRACED = """
import asyncio, sys
from pushhub.app import create_app
from pushhub.settings import Settings
from pushhub.log.event import Draft
from pushhub.store.base import Append

async def main():
    app = create_app(Settings(dev=True, store="memory://", origin="http://127.0.0.1:9"))
    from pushhub.server.http1.context import ConnectionContext
    await app.open()
    hub = app.service.hub
    hub.publish([Append("a", Draft(b"1"))], lambda outcomes: None)
    nothing = (hub.observer, app.endpoints.observer, app.service.tracer, app._access_log,
               ConnectionContext(app).access_log, app.origin.resources.fetcher.tracer)
    await app.close()
    loaded = [name for name in sys.modules
              if name.startswith(("opentelemetry", "google.protobuf", "pushhub.tracing"))]
    print(nothing == (None,) * 6, loaded)

asyncio.run(main())
"""


def test_nothing_is_imported_and_nothing_observes_without_the_setting() -> None:
    """Each place of the hot path compares one attribute with None, and calls nothing."""
    environ = {name: text for name, text in os.environ.items() if not name.startswith("PUSHHUB_")}
    done = subprocess.run(
        [sys.executable, "-c", UNTRACED], env=environ, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "True []\n", done.stdout + done.stderr


def test_the_setting_names_the_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pushhub.settings.tracing._PACKAGES", ("no_such_package.sdk",))
    with pytest.raises(ValidationError, match=r"pip install 'pushhub\[otel\]'"):
        Settings(tracing=True)
    assert not Settings().tracing
