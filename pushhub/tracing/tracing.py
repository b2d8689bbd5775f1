"""The tracing of one process: OpenTelemetry's SDK with what pushhub gives to it.

OpenTelemetry's own environment variables configure it: the exporter, the sampler, the limits, the
resource. Its provider is pushhub's own and not the global one, so it adds nothing to a program
that embeds the hub.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING
from uuid import UUID

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from pushhub.api import endpoint_observers
from pushhub.hub import observers
from pushhub.tracing.exporter import BoundedProcessor
from pushhub.tracing.fetch_spans import FetchSpans
from pushhub.tracing.hub_spans import HubSpans
from pushhub.tracing.request_spans import RequestSpans

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.util.types import AttributeValue

    from pushhub.api.endpoints import Endpoints
    from pushhub.hub.hub import Hub

# The conventions by which spans and attributes are named.
SCHEMA = "https://opentelemetry.io/schemas/1.44.0"
# The longest wait for the last export at the end of the process. A supervisor gives a process
# 10 s or more, and a collector that works needs milliseconds.
CLOSE_SECONDS = 3.0


class Tracing:
    """The spans of one process, and their export.

    Args:
        version: pushhub's version.
        random_bytes: draws the id of this process.
    """

    def __init__(self, hub: Hub, version: str, random_bytes: Callable[[int], bytes]) -> None:
        self._hub = hub
        self._endpoints: list[Endpoints] = []
        self._processor = BoundedProcessor(OTLPSpanExporter())
        self._provider = TracerProvider(
            resource=_resource(version, random_bytes), shutdown_on_exit=False
        )
        self._provider.add_span_processor(self._processor)
        tracer = self._provider.get_tracer("pushhub", version, SCHEMA)
        self._spans = HubSpans(tracer)
        self.requests = RequestSpans(tracer, self._processor, self._route)
        self.fetches = FetchSpans(tracer)

    def open(self, *endpoints: Endpoints) -> None:
        """Begin to trace the hub, and the requests to these endpoints."""
        self._endpoints += endpoints
        observers.observe(self._hub, self._spans)
        for each in endpoints:
            endpoint_observers.observe(each, self._spans)

    async def close(self) -> None:
        """Trace no more, and export what is left, for a bounded time."""
        observers.unobserve(self._hub, self._spans)
        for each in self._endpoints:
            endpoint_observers.unobserve(each, self._spans)
        loop = asyncio.get_running_loop()
        closed = asyncio.Event()

        def shutdown() -> None:
            self._provider.shutdown()
            try:
                loop.call_soon_threadsafe(closed.set)
            except RuntimeError:
                pass  # The loop is closed: the wait has ended before.

        # A thread of its own that the process does not wait for, unlike those of an executor.
        threading.Thread(target=shutdown, daemon=True).start()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await closed.wait()
        except TimeoutError:
            pass

    def _route(self, path: str) -> str:
        for each in self._endpoints:
            if (match := each.match(path)) is not None:
                return match.route.path
        return ""


def _resource(version: str, random_bytes: Callable[[int], bytes]) -> Resource:
    """The process as its spans name it. The environment wins."""
    known = Resource.create()
    own: dict[str, AttributeValue] = {
        "service.version": version,
        "service.instance.id": str(UUID(bytes=random_bytes(16), version=4)),
    }
    if str(known.attributes["service.name"]).startswith("unknown_service"):
        known = known.merge(Resource({"service.name": "pushhub"}))
    return Resource(own).merge(known)
