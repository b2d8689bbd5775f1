"""Reads requests: from a cache if the same bytes came before, else by parsing head and body."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.http.body import ChunkedBody, SizedBody, too_large
from pushhub.http.byte_budget import FREE_BYTES
from pushhub.http.response import Part, Response
from pushhub.http.traceparent import TRACEPARENT
from pushhub.hub.channel_hold import ChannelHold, GrantedHold
from pushhub.log.grant import NOTHING
from pushhub.server.http1.head import MAX_HEAD_BYTES, check_start
from pushhub.server.http1.limits import ASTERISK
from pushhub.server.http1.states import BODY, HEAD, HELD, IDLE

if TYPE_CHECKING:
    from pushhub.api.endpoints import Match
    from pushhub.auth.caller import Caller
    from pushhub.http.response import Reply
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
            connection.caller = context.caller(connection, headers.forwarded)
            if context.callers is not None and headers.grant is not NOTHING:
                connection.caller = context.callers.with_grant(connection.caller, headers.grant)
        grant = headers.ending_grant
        if grant is not None and grant.has_ended(context.hub.clock()):
            return False
        poll = context.poll_cache.poll(data[: -len(headers.raw)], headers)
        if poll is None:
            return self._serve_shared(connection, data)
        context.server_state.total_requests += 1
        connection.lines = headers.lines
        hub = context.hub
        if isinstance(poll, Response):
            outcome: Response | Part | ChannelHold = poll
        else:
            made = ChannelHold(hub, poll) if grant is None else GrantedHold(hub, poll, grant)
            outcome = hub.begin(made)
        if connection.caller is not None:
            outcome = self._count(connection.caller, outcome)
        if isinstance(outcome, ChannelHold):
            connection.state = HELD
            connection.hold = outcome
            outcome.attach(connection)
        else:
            assert isinstance(outcome, Response)
            context.writer.respond(connection, outcome)
        return True

    def _count(self, caller: Caller, outcome: Reply | ChannelHold) -> Reply | ChannelHold:
        """Count a request of a cache; the outcome, or the refusal by a limit."""
        refusal = None
        if not isinstance(outcome, ChannelHold) or not outcome.is_parked:
            refusal = caller.serve()
        if refusal is None and isinstance(outcome, ChannelHold):
            refusal = caller.hold(outcome)
        if refusal is None:
            return outcome
        if isinstance(outcome, ChannelHold):
            outcome.drop()
        return self._context.service.refuse(refusal.problem())

    def _serve_shared(self, connection: ClientConnection, data: bytes) -> bool:
        """Serve a cached request for a shared resource of the origin."""
        context = self._context
        cache = context.shared_request_cache
        known = None if cache is None else cache.outcome(data, connection)
        if known is None:
            return False
        outcome, cached = known
        connection.lines = cached.lines
        context.server_state.total_requests += 1
        caller = connection.caller = context.caller(connection, cached.forwarded)
        connection.client_headers = None
        if caller is not None and (refusal := caller.serve()) is not None:
            if not isinstance(outcome, Response):
                outcome.drop()
            outcome = context.service.refuse(refusal.problem())
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
        connection.release_bytes()
        self._begin(connection, self._context.head(raw), raw)
        return True

    def _expect_head(self, connection: ClientConnection, buffer: bytes) -> None:
        check_start(buffer)
        if connection.state == IDLE:
            context = self._context
            connection.state = HEAD
            connection.since = context.now()
            context.wheel.set(connection, connection.since + context.head_seconds)
        if len(buffer) > FREE_BYTES or connection.lease is not None:
            connection.hold_bytes(len(buffer))

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
        # A cached request has the `Host` and the `Origin` of one that came through here.
        if (guard := context.guard) is not None:
            guard.check_host(head.headers)
            if match is not None:
                guard.check_page(head.headers)
        connection.caller = context.caller(connection, head.headers.get("x-forwarded-for"))
        if connection.caller is not None:
            connection.client_headers = None
            if (refusal := connection.caller.request()) is not None:
                problem = refusal.problem()
                if match is not None:
                    problem = match.refusal(problem)
                if head.length != 0 or head.upgrades:
                    raise problem
                context.writer.respond(connection, context.service.refuse(problem))
                return
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
        buffer = connection.buffer
        if head.length is not None and len(buffer) >= head.length:
            # The usual case of a publish: nothing has to be kept, so nothing is checked first.
            connection.buffer = buffer[head.length :]
            self._run(connection, buffer[: head.length], None)
            return
        if not self._may_send(connection, head, match):
            return
        self._expect_body(connection, head)
        if head.expects and not connection.buffer:
            connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    # Bodies

    def _may_send(self, connection: ClientConnection, head: Head, match: Match) -> bool:
        """Whether the client may send the body of this head; else the refusal is written. What was
        sent of the body nevertheless is discarded, within bounds, before the connection closes.

        Raises:
            Problem: there is no budget for a body of this length.
        """
        context = self._context
        request = head.request(b"", connection.client, context.proxies)
        refusal = context.endpoints.check_head(request, match)
        if refusal is None:
            connection.lease = context.service.lease(request.client)
            connection.lease.expect(head.length or 0)
            return True
        connection.keep = False
        connection.buffer = b""
        context.writer.respond(connection, refusal, linger=True)
        return False

    def _expect_body(self, connection: ClientConnection, head: Head) -> None:
        connection.state = BODY
        connection.body = ChunkedBody() if head.length is None else SizedBody(head.length)
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
            connection.hold_bytes(len(body.payload))
            return False
        connection.body = None
        connection.release_bytes()
        self._run(connection, bytes(body.payload), None)
        return True

    def _run(self, connection: ClientConnection, body: bytes, raw: bytes | None) -> None:
        """Run the request's endpoint. `raw` is the request, if it may be cached."""
        context, head, match = self._context, connection.head, connection.match
        assert head is not None
        assert match is not None
        request = head.request(body, connection.client, context.proxies)
        request.caller = connection.caller
        request.wire = connection
        if (access := connection.access) is not None:
            request.id = access.request_id
            if access.span is not None:
                request.headers = {**request.headers, TRACEPARENT: access.span.traceparent}
        decision = context.endpoints.decide(request, match)
        connection.caller = request.caller
        poll = decision.poll
        if poll is None:
            outcome = decision.outcome
            assert outcome is not None
        else:
            if raw is not None and access is None:
                connection.client_headers = context.poll_cache.add(
                    raw, head, match, decision, connection.lines
                )
            assert decision.grant is not None
            held = context.hub.hold(poll, grant=decision.grant)
            assert not isinstance(held, Part)
            outcome = held
        connection.conclude(outcome)
