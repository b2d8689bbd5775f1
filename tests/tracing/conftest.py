"""Hubs with traces, and the collector that gets them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.serving import Server, serve
from tests.tracing.collector import Collector, collecting

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def traced(collector: Collector, /, *arguments: str, **settings: Any) -> Iterator[Server]:
    """A hub that exports to a collector."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
        patch.setenv("OTEL_SERVICE_NAME", "push")
        for name in [name for name in settings if name.startswith("OTEL_")]:
            patch.setenv(name, settings.pop(name))
        with serve(*arguments, tracing=True, **settings) as server:
            yield server


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector
