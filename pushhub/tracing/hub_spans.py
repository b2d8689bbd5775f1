"""The spans of publishes and deliveries: an observer of the hub and of the endpoints.

A publish is one span, from the endpoint to the commit of the store. Its context is kept in the
events. A delivery is one span for each fan-out, on each node whose clients wait, and not one for
each hold. It continues the trace of the publish, and links to it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from opentelemetry.trace import Link, SpanKind, Status, StatusCode

from pushhub.log.channel import PRIVATE_MARK, namespace
from pushhub.store.base import Appended, StoreError
from pushhub.tracing.context import parent_from, parent_of, span_context, traceparent_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer
    from opentelemetry.util.types import AttributeValue

    from pushhub.api.endpoints import Decision
    from pushhub.http.request import Request
    from pushhub.http.response import Part, Response
    from pushhub.hub.channel_hold import ChannelHold
    from pushhub.hub.hold import Driver
    from pushhub.hub.stream import EventStream
    from pushhub.log.event import Event
    from pushhub.store.base import Append, Outcome


class HubSpans:
    """Begins and ends the spans of one hub."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        # The trace context of the request that is being decided.
        self._parent: Context | None = None

    # Endpoints

    def received(self, request: Request) -> None:
        self._parent = parent_of(request.headers) if "traceparent" in request.headers else None

    def decided(self, request: Request, decision: Decision) -> None:
        self._parent = None

    # Publishes

    def published(
        self, appends: list[Append], done: Callable[[list[Outcome]], None]
    ) -> tuple[list[Append], Callable[[list[Outcome]], None]]:
        public = [each for each in appends if _is_public(each)]
        if not public:
            return appends, done
        # Without a request the parent is the current span of the program that embeds the hub.
        name, attributes = _named("send", "send", public[0].channel)
        if len(public) == 1:
            attributes["messaging.message.body.size"] = len(public[0].draft.data)
        else:
            attributes["messaging.batch.message_count"] = len(public)
        span = self._tracer.start_span(
            name, self._parent, kind=SpanKind.PRODUCER, attributes=attributes
        )
        if not span.get_span_context().trace_flags.sampled:
            # No delivery would be sampled, so the event need not keep the context.
            return appends, done
        traceparent = traceparent_of(span)

        def settled(outcomes: list[Outcome]) -> None:
            _end_publish(span, outcomes)
            done(outcomes)

        return [_in_trace(each, traceparent) for each in appends], settled

    # Deliveries

    def woken(self, event: Event, holds: int) -> Callable[[int], None] | None:
        if not holds or not event.traceparent:
            return None
        parent = parent_from(event.traceparent)
        name, attributes = _named("deliver", "process", event.channel)
        attributes["messaging.message.id"] = event.id
        attributes["messaging.message.body.size"] = len(event.data)
        attributes["pushhub.holds"] = holds
        span = self._tracer.start_span(
            name,
            parent,
            kind=SpanKind.CONSUMER,
            attributes=attributes,
            links=[Link(span_context(parent))],
        )

        def ended(completed: int) -> None:
            span.set_attribute("pushhub.holds.completed", completed)
            span.end()

        return ended

    # Events of single holds have no spans.

    def polled(self, hold: ChannelHold) -> None:
        pass

    def attached(self, hold: ChannelHold, driver: Driver) -> None:
        pass

    def parked(self, hold: ChannelHold) -> None:
        pass

    def replied(self, hold: ChannelHold, reply: Response | Part | EventStream) -> bool:
        return False

    def dropped(self, hold: ChannelHold) -> None:
        pass


def _is_public(append: Append) -> bool:
    return not append.channel.startswith(PRIVATE_MARK)


def _in_trace(append: Append, traceparent: str) -> Append:
    if not _is_public(append):
        return append
    return replace(append, draft=replace(append.draft, traceparent=traceparent))


def _named(operation: str, kind: str, channel: str) -> tuple[str, dict[str, AttributeValue]]:
    """The name of a span, and the attributes that all have. The destination is the namespace: the
    names of channels are too many for a name, and may name users.
    """
    head = namespace(channel)
    attributes: dict[str, AttributeValue] = {
        "messaging.system": "pushhub",
        "messaging.operation.name": operation,
        "messaging.operation.type": kind,
    }
    if head:
        attributes["messaging.destination.template"] = f"{head}:{{name}}"
    return f"{operation} {head}" if head else operation, attributes


def _end_publish(span: Span, outcomes: list[Outcome]) -> None:
    if len(outcomes) == 1 and isinstance(first := outcomes[0], Appended):
        span.set_attribute("messaging.message.id", first.id)
        if first.duplicate:
            span.set_attribute("pushhub.duplicate", True)
    for outcome in outcomes:
        if not isinstance(outcome, Appended):
            error = outcome.reason if isinstance(outcome, StoreError) else type(outcome).__name__
            span.set_attribute("error.type", error)
            span.set_status(Status(StatusCode.ERROR))
            break
    span.end()
