"""The interface of a tracer of requests, which is another room's (`tracing/`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


# The results of spans where there is no tracer.
NO_SPANS: Mapping[str, int] = {"exported": 0, "failed": 0, "dropped": 0}


class RequestSpan(Protocol):
    """The span of one request, from its head to the end of its response."""

    @property
    def traceparent(self) -> str:
        """Its own context, for all that the request causes."""

    def end(self, status: int, path: str, client: str) -> None:
        """The response has ended."""

    def discard(self) -> None:
        """Another server handles the request: there is no such span."""


class RequestTracer(Protocol):
    """Begins the spans of requests."""

    @property
    def results(self) -> Mapping[str, int]:
        """The spans that have ended, by what became of them."""

    def begin(
        self, method: str, path: str, headers: Mapping[str, str], *, secure: bool
    ) -> RequestSpan | None:
        """The span of a request with a trace context; None if that is invalid, or if too many
        spans are open.
        """
