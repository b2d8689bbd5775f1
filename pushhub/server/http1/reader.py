"""Reads requests: from a cache if the same bytes came before, else by parsing head and body."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.http.body import ChunkedBody, SizedBody, too_large
from pushhub.http.response import Part, Response
from pushhub.hub.channel_hold import ChannelHold
from pushhub.server.http1.head import MAX_HEAD_BYTES, check_start
from pushhub.server.http1.limits import ASTERISK
from pushhub.server.http1.states import BODY, HEAD, HELD, IDLE

if TYPE_CHECKING:
    from pushhub.server.http1.context import ConnectionContext
    from pushhub.server.http1.head import Head
    from pushhub.server.http1.interfaces import ClientConnection


class RequestReader:
    """The reader of all connections of a process."""

    __slots__ = ("_context",)

    def __init__(self, context: ConnectionContext) -> None:
        self._context = context

    # Cached requests

    def serve_cached(self, connection: ClientConnection, data: bytes) -> bool:
        """Serve a request that is in a cache; False if it must be parsed."""
        context, headers = self._context, connection.client_headers
        if headers is None or not data.endswith(headers.raw):
            headers = context.poll_cache.headers(data)
            if headers is None:
                return self._serve_shared(connection, data)
            connection.client_headers = headers
        if headers.expires is not None and context.hub.clock() >= headers.expires:
            return False
        poll = context.poll_cache.poll(data[: -len(headers.raw)], headers)
        if poll is None:
            return self._serve_shared(connection, data)
        context.server_state.total_requests += 1
        connection.lines = headers.lines
        outcome = poll if isinstance(poll, Response) else context.hub.hold(poll)
        if isinstance(outcome, ChannelHold):
            connection.state = HELD
            connection.hold = outcome
            outcome.attach(connection)
        else:
            assert isinstance(outcome, Response)
            context.writer.respond(connection, outcome)
        return True

    def _serve_shared(self, connection: ClientConnection, data: bytes) -> bool:
        """Serve a cached request for a shared resource of the origin."""
        context = self._context
        cache = context.shared_request_cache
        known = None if cache is None else cache.outcome(data, connection)
        if known is None:
            return False
        outcome, connection.lines = known
        context.server_state.total_requests += 1
        connection.conclude(outcome)
        return True

    # Heads

    def read_head(self, connection: ClientConnection) -> bool:
        """Begin the next request; False if its head is incomplete.

        Raises:
            Problem: the request is malformed, or over a limit.
        """
        buffer = connection.buffer
        if buffer[0] in b"\r\n":
            # Empty lines before a request are ignored (RFC 9112 §2.2).
            buffer = connection.buffer = buffer.lstrip(b"\r\n")
            if not buffer:
                connection.state = IDLE
                return False
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            self._expect_head(connection, buffer)
            return False
        if end > MAX_HEAD_BYTES:
            check_start(buffer)
        raw = buffer[: end + 4]
        connection.buffer = buffer[end + 4 :]
        connection.state = IDLE
        self._begin(connection, self._context.head(raw), raw)
        return True

    def _expect_head(self, connection: ClientConnection, buffer: bytes) -> None:
        check_start(buffer)
        if connection.state == IDLE:
            context = self._context
            connection.state = HEAD
            connection.since = context.now()
            context.wheel.set(connection, connection.since + context.head_seconds)

    def _begin(self, connection: ClientConnection, head: Head, raw: bytes) -> None:
        context = self._context
        context.server_state.total_requests += 1
        connection.keep = connection.keep and head.keep
        endpoints = context.endpoints
        match = endpoints.match(head.path)
        connection.head = head
        if (access := context.access_log) is not None:
            connection.access = access.begin(
                connection.client, head.headers, head.method, head.path, head.query
            )
        variant = endpoints.cors.variant(head.headers.get("origin"))
        connection.lines = context.header_lines.of(variant)
        if match is None:
            if head.path != "*" or context.origin is not None:
                connection.hand_off(head, raw)
                return
            match = ASTERISK
        connection.match = match
        if head.length == 0:
            self._run(connection, b"", raw)
            return
        limit = match.max_body(head.method)
        if head.length is not None and head.length > limit:
            raise too_large(limit)
        self._expect_body(connection, head)
        if head.expects and not connection.buffer:
            connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    # Bodies

    def _expect_body(self, connection: ClientConnection, head: Head) -> None:
        connection.state = BODY
        connection.body = ChunkedBody() if head.length is None else SizedBody(head.length)
        buffer = connection.buffer
        if not buffer or head.length is None or len(buffer) < head.length:
            context = self._context
            connection.since = context.now()
            context.wheel.set(connection, connection.since + context.body_seconds)

    def read_body(self, connection: ClientConnection) -> bool:
        """Read the buffered part of the body, and run the request if the body is complete; False
        if it is not.

        Raises:
            Problem: the body is malformed, or too large.
        """
        body, head, match = connection.body, connection.head, connection.match
        assert body is not None
        taken = body.feed(connection.buffer)
        connection.buffer = connection.buffer[taken:]
        assert head is not None
        assert match is not None
        limit = match.max_body(head.method)
        if len(body.payload) > limit:
            raise too_large(limit)
        if not body.done:
            return False
        connection.body = None
        self._run(connection, bytes(body.payload), None)
        return True

    def _run(self, connection: ClientConnection, body: bytes, raw: bytes | None) -> None:
        """Run the request's endpoint. `raw` is the request, if it may be cached."""
        context, head, match = self._context, connection.head, connection.match
        assert head is not None
        assert match is not None
        request = head.request(body, connection.client, context.proxies)
        if connection.access is not None:
            request.id = connection.access.request_id
        decision = context.endpoints.decide(request, match)
        poll = decision.poll
        if poll is None:
            outcome = decision.outcome
            assert outcome is not None
        else:
            if raw is not None and context.access_log is None:
                connection.client_headers = context.poll_cache.add(
                    raw, head, match, decision, connection.lines
                )
            held = context.hub.hold(poll)
            assert not isinstance(held, Part)
            outcome = held
        connection.conclude(outcome)
