"""Gives a tracer the client of each request. During a trace it observes the endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.api.endpoint_observers import observe, unobserve
from pushhub.hub.readers import MAX_SUBJECT, UNKNOWN_CLIENT, ClientInfo
from pushhub.hub.stream import EventStream

if TYPE_CHECKING:
    from pushhub.api.endpoints import Decision, Endpoints
    from pushhub.console.trace import Tracer
    from pushhub.http.request import Request


class EndpointTrace:
    """Records the client and the poll of each decided request. Repeated polls come from the request
    cache, without a call here; their connection knows the client.
    """

    __slots__ = ("_endpoints", "_tracer")

    def __init__(self, endpoints: Endpoints, tracer: Tracer) -> None:
        self._endpoints = endpoints
        self._tracer = tracer

    def start(self) -> None:
        """Begin to observe."""
        observe(self._endpoints, self)

    def stop(self) -> None:
        """Observe no more."""
        unobserve(self._endpoints, self)

    def received(self, request: Request) -> None:
        self._tracer.client = ClientInfo(request.client)

    def decided(self, request: Request, decision: Decision) -> None:
        tracer = self._tracer
        tracer.client = UNKNOWN_CLIENT
        subject = decision.grant.subject[:MAX_SUBJECT] if decision.grant is not None else ""
        outcome = decision.outcome
        poll = outcome.poll if isinstance(outcome, EventStream) else decision.poll
        tracer.decided = None if poll is None else (poll, ClientInfo(request.client, subject))
