"""The hand-over of one request to a guest: uvicorn's protocol, or the proxy to the origin.

A handoff exists until the guest's response has ended. The guest writes to the connection's
transport, and reports to the handoff.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.http.body import ChunkedBody, SizedBody
from pushhub.http.problem import Problem
from pushhub.http.response import Response
from pushhub.server.http1.states import IDLE

if TYPE_CHECKING:
    import asyncio

    from pushhub.api.endpoints import Outcome
    from pushhub.http.byte_budget import ByteLease
    from pushhub.origin.shared.table import SharedRequest
    from pushhub.server.http1.connection import Connection
    from pushhub.server.http1.head import Head
    from pushhub.server.http1.interfaces import Guest


class Handoff:
    """The link between a connection and its guest, in both directions."""

    __slots__ = ("connection", "guest", "is_proxy")

    def __init__(self, connection: Connection, head: Head) -> None:
        self.connection = connection
        self.guest: Guest
        self.guest, self.is_proxy = connection.context.guest(self, head)
        if not self.is_proxy:
            # The application writes the line of a page to the access log.
            connection.context.writer.discard_access(connection)

    # From the connection to the guest

    def begin(self, head: Head, raw: bytes) -> None:
        """Hand the request over."""
        connection = self.connection
        context = connection.context
        if head.length != 0:
            connection.body = ChunkedBody() if head.length is None else SizedBody(head.length)
            connection.since = context.now()
            context.wheel.set(connection, connection.since + context.body_seconds)
        self.guest.begin(head, raw)
        # The guest may have refused the request by its head.
        if connection.body is not None:
            self._forward()

    def received(self) -> None:
        """More bytes have arrived, in the connection's buffer."""
        body = self.connection.body
        if body is not None and not body.done:
            try:
                self._forward()
            except Problem:
                # The guest's response may have started, so no problem can be written.
                self.connection.transport.abort()

    def _forward(self) -> None:
        """Pass on the bytes of the guest's request, but none of the next request."""
        connection = self.connection
        body = connection.body
        assert body is not None
        taken = body.feed(connection.buffer)
        payload = bytes(body.payload)
        body.payload.clear()
        raw, connection.buffer = connection.buffer[:taken], connection.buffer[taken:]
        if raw:
            context = connection.context
            # A credit of time for each byte: a slower body than `min_body_rate` uses it up.
            earned = connection.since + len(raw) / context.min_body_rate
            connection.since = min(context.now(), earned)
            self.guest.forward(raw, payload, done=body.done)

    # From the guest to the connection

    @property
    def transport(self) -> asyncio.Transport:
        """The transport for the guest's response."""
        return self.connection.transport

    @property
    def client(self) -> str:
        """The address of the client."""
        return self.connection.client

    @property
    def keep(self) -> bool:
        """Whether the connection stays open after this response."""
        return self.connection.keep

    @keep.setter
    def keep(self, keep: bool) -> None:
        self.connection.keep = keep

    @property
    def draining(self) -> bool:
        """Whether the server drains: then this response is the connection's last one."""
        return self.connection.context.hub.draining

    def lease(self) -> ByteLease:
        """The bytes of the request in memory."""
        return self.connection.context.lease(self.connection)

    def resume_body(self) -> None:
        """Read the body again; the time of the pause counts for no deadline."""
        connection = self.connection
        if connection.body is not None and not connection.paused:
            context = connection.context
            connection.since = context.now()
            context.wheel.set(connection, connection.since + context.body_seconds)

    def cache(self, raw: bytes, head: Head, shared: SharedRequest) -> None:
        """Cache a parsed request under its bytes."""
        connection = self.connection
        # The entry of the access log needs the head of each request, which a cache does not keep.
        if (
            requests := connection.context.shared_request_cache
        ) is not None and connection.access is None:
            requests.add(raw, head, shared, connection.lines)

    def response_ended(self) -> None:
        """The guest's response has ended: the connection reads its next request."""
        connection = self.connection
        body = connection.body
        connection.body = connection.handoff = connection.head = None
        connection.resume_reading()
        if (body is not None and not body.done) or not connection.keep:
            connection.context.writer.end(connection, linger=body is not None)
            return
        connection.state = IDLE
        connection.since = connection.context.coarse_now
        connection.advance()

    def closed(self, *, finished: bool) -> None:
        """The guest closes. An unfinished response must not look complete."""
        connection = self.connection
        connection.keep = False
        if not finished and connection.handoff is not None:
            connection.transport.close()

    def conclude(self, outcome: Outcome) -> None:
        """Serve the guest's request with a response, hold or stream of pushhub itself."""
        connection = self.connection
        body = connection.body
        connection.body = connection.handoff = None
        connection.resume_reading()
        whole = body is None or body.done
        connection.keep = connection.keep and whole
        if whole or not isinstance(outcome, Response):
            connection.conclude(outcome)
        else:
            # Unread bytes of the body must not reset the connection before the response is read.
            connection.context.writer.respond(connection, outcome, linger=True)
        if connection.buffer:
            connection.advance()

    def refuse(self, problem: Problem) -> Response:
        """The response for a problem of this request."""
        return self.connection.context.service.refuse(problem)

    @property
    def traceparent(self) -> str:
        """The context of the request's span; empty without one."""
        access = self.connection.access
        return "" if access is None or access.span is None else access.span.traceparent

    def log_response(self, status: int, size: int) -> None:
        """Write a response of the guest, with its size in bytes, to the access log."""
        connection = self.connection
        if connection.access is not None:
            connection.access.size = size
            connection.context.writer.log_access(connection, status)

    def parse_failed(self, detail: str) -> None:
        """The guest's parser rejects a request that the connection's parser accepted."""
        self.connection.refuse(Problem("bad-request", detail))

    def detach(self) -> bytes:
        """Take the transport from the connection; returns the unread bytes."""
        self.connection.handoff = None
        return self.connection.context.detach(self.connection)
